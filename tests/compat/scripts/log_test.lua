-- SPDX-License-Identifier: Apache-2.0
--
-- log: the text as it is, also with what Erlang's formats would take for one.

log.info("an info, ~p ~s ~~ %d")
log.error("an error, ~p")
log.debug("a debug, ~")
log.warning("a warning, ~n")

hooks = {auth_on_register = function(reg)
    log.info("registered: " .. reg.client_id)
    return true
end}
