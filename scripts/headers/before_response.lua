edit(mut.resp, config and config.response)
