-- SPDX-License-Identifier: Apache-2.0
--
-- The hooks that test_mqtt_plugin_cases.py drives: what each answers depends
-- on the client id. A wrong argument raises, which the answer's errors show.

num_states = 2

local function want(got, expected)
    for key, value in pairs(expected) do
        if got[key] ~= value then
            error(key .. " is " .. tostring(got[key]) .. ", not "
                  .. tostring(value))
        end
    end
end

local function is_client(t)
    want(t, {mountpoint = "", username = "test-user"})
end

local function is_peer(t)
    want(t, {addr = "192.168.123.123", port = 12345})
end

local function is_message(t)
    want(t, {topic = "test/topic", qos = 1, payload = "hello world",
             retain = false})
end

-- The three that every auth hook knows.
local function verdict(t)
    if t.client_id == "allowed-subscriber-id" then
        return true
    elseif t.client_id == "not-allowed-subscriber-id" then
        return false
    end
    return next
end

local function on_connect(reg)
    is_peer(reg)
    want(reg, {mountpoint = ""})
    if reg.client_id == "undefined_creds" then
        assert(reg.username == nil and reg.password == nil)
        return true
    end
    is_client(reg)
    assert(obf.decrypt(reg.password) == "test-password")
    if reg.client_id == "listener-info" then
        want(reg, {listener_addr = "127.0.0.1", listener_port = 1883,
                   listener_type = "mqtt"})
        return true
    elseif reg.client_id == "changed-subscriber-id" then
        return {subscriber_id = {mountpoint = "override-mountpoint",
                                 client_id = "override-client-id"}}
    elseif reg.client_id == "changed-username" then
        return {username = "override-username"}
    elseif reg.client_id == "change-modifiers-id" then
        return {max_message_size = 1001, max_connection_lifetime = 4711}
    end
    return verdict(reg)
end

local function auth_on_register(reg)
    want(reg, {clean_session = true})
    return on_connect(reg)
end

local function auth_on_register_m5(reg)
    want(reg, {clean_start = true})
    assert(type(reg.properties) == "table")
    return on_connect(reg)
end

local function auth_on_publish(pub)
    is_client(pub)
    is_message(pub)
    if pub.client_id == "changed-subscriber-id" then
        return {topic = "hello/world"}
    elseif pub.client_id == "invalid_topic_mod" then
        return {topic = 5}
    elseif pub.client_id == "unknown_mod" then
        return {unknown = 5}
    end
    return verdict(pub)
end

local function auth_on_publish_m5(pub)
    assert(type(pub.properties) == "table")
    if pub.client_id == "modify_props" then
        local sent = pub.properties.p_user_property
        assert(#sent == 4 and sent[1].k1 == "v1" and sent[2].k2 == "v2")
        assert(sent[3].k1 == "v2" and sent[4].k4 == "v4")
        want(pub.properties, {p_response_topic = "response/topic",
                              p_payload_format_indicator = "utf8"})
        return {properties = {
            p_user_property = {{k1 = "v3"}, {k3 = "v3"}},
            p_response_topic = "modified/topic",
            p_payload_format_indicator = "undefined"}}
    end
    return auth_on_publish(pub)
end

local function auth_on_subscribe(sub)
    is_client(sub)
    assert(#sub.topics == 2)
    for i, topic in ipairs({"test/topic", "test/other"}) do
        assert(sub.topics[i][1] == topic and sub.topics[i][2] == 1)
    end
    if sub.client_id == "changed-subscriber-id" then
        return {{"hello/world", 2}}
    end
    return verdict(sub)
end

local function auth_on_subscribe_m5(sub)
    is_client(sub)
    assert(type(sub.properties) == "table")
    local topic, wish = sub.topics[1][1], sub.topics[1][2]
    assert(topic == "test/topic" and wish[1] == 1)
    want(wish[2], {no_local = false, rap = false,
                   retain_handling = "send_retain"})
    if sub.client_id == "changed-subscriber-id" then
        return {topics = {{"hello/world", {2, {rap = true}}}}}
    end
    return verdict(sub)
end

local function on_unsubscribe(unsub)
    is_client(unsub)
    assert(#unsub.topics == 1 and unsub.topics[1] == "test/topic")
    if unsub.client_id == "changed-subscriber-id" then
        return {"hello/world"}
    end
end

local function on_unsubscribe_m5(unsub)
    is_client(unsub)
    assert(type(unsub.properties) == "table")
    return {topics = {"hello/world"}}
end

local function on_deliver(msg)
    is_client(msg)
    is_message(msg)
    if msg.client_id == "changed-subscriber-id" then
        return {topic = "hello/world", payload = "changed"}
    end
    return verdict(msg)
end

local function on_deliver_m5(msg)
    if msg.client_id == "modify_props" then
        want(msg.properties, {p_response_topic = "response/topic"})
        return {properties = {
            p_user_property = {{k1 = "v3"}, {k3 = "v3"}},
            p_response_topic = "modified/topic",
            p_correlation_data = "modified",
            p_payload_format_indicator = "undefined",
            p_content_type = "modified"}}
    end
    return on_deliver(msg)
end

local function on_auth_m5(auth)
    is_client(auth)
    if auth.client_id == "ignored-subscriber-id" then
        return next
    end
    want(auth.properties, {p_authentication_method = "AUTH_METHOD"})
    if auth.properties.p_authentication_data ~= "AUTH_DATA0" then
        return false
    end
    return {reason_code = 0,
            properties = {p_authentication_method = "AUTH_METHOD",
                          p_authentication_data = "AUTH_DATA1"}}
end

-- What observes: arguments alone.

local function on_register(reg)
    is_client(reg)
    is_peer(reg)
end

local function on_publish(pub)
    is_client(pub)
    is_message(pub)
end

local function on_subscribe(sub)
    is_client(sub)
    assert(sub.topics[1][1] == "test/topic" and sub.topics[1][2] == 1)
end

local function on_offline_message(msg)
    is_message(msg)
    want(msg, {mountpoint = "", client_id = "allowed-subscriber-id"})
end

local function on_session(session)
    want(session, {mountpoint = "", client_id = "allowed-subscriber-id"})
    local fields = 0
    for _ in pairs(session) do
        fields = fields + 1
    end
    assert(fields == 2)
end

local function m5(hook)
    return function(t)
        assert(type(t.properties) == "table")
        return hook(t)
    end
end

hooks = {
    auth_on_register = auth_on_register,
    auth_on_register_m5 = auth_on_register_m5,
    auth_on_publish = auth_on_publish,
    auth_on_publish_m5 = auth_on_publish_m5,
    auth_on_subscribe = auth_on_subscribe,
    auth_on_subscribe_m5 = auth_on_subscribe_m5,
    on_unsubscribe = on_unsubscribe,
    on_unsubscribe_m5 = on_unsubscribe_m5,
    on_deliver = on_deliver,
    on_deliver_m5 = on_deliver_m5,
    on_auth_m5 = on_auth_m5,
    on_register = on_register,
    on_register_m5 = m5(on_register),
    on_publish = on_publish,
    on_publish_m5 = m5(on_publish),
    on_subscribe = on_subscribe,
    on_subscribe_m5 = m5(function(sub)
        is_client(sub)
        assert(sub.topics[1][1] == "test/topic" and sub.topics[1][2][1] == 1)
    end),
    on_offline_message = on_offline_message,
    on_client_wakeup = on_session,
    on_client_offline = on_session,
    on_client_gone = on_session,
    on_session_expired = on_session,
}
