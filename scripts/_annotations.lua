---@meta
-- What pinfold gives to scripts, for the Lua language server: point
-- `Lua.workspace.library` at this file. It is never run. A test compares it
-- with what a worker really exports. In words: docs/scripts.md for hook files,
-- docs/scripts-mqtt.md for scripts with a table `hooks`, whose own part is at
-- the end.

-------------------------------------------------------------------- context

---A field that repeats: header or query name to its values, in order.
---Header names are canonical ("X-Request-Id"), and indexing ignores case.
---@alias Values table<string, string[]>

---@class Cookie
---@field name string
---@field value string
---@field quoted? boolean the value stood in quotes
---@field path? string
---@field domain? string
---@field expires? integer Unix time in ms
---@field max_age? integer seconds
---@field secure? boolean
---@field http_only? boolean
---@field same_site? string
---@field partitioned? boolean

---@class Request
---@field proto string "HTTP/1.1"
---@field host string with port where one was given
---@field scheme string "http" or "https"
---@field method string
---@field path string decoded
---@field query Values
---@field url string absolute, still encoded
---@field remote_addr string
---@field headers Values
---@field cookies? Cookie[] nil when there is none
---@field body? string nil when empty; fetched when touched
---@field content_length integer

---@class Response
---@field status string "200 OK"
---@field status_code integer
---@field proto string
---@field headers Values
---@field cookies? Cookie[] parsed from Set-Cookie
---@field body? string as received, Content-Encoding untouched
---@field content_length integer

---@class Context
---@field id string the same for all hooks of one request
---@field session_id string
---@field is_finished boolean somebody has called mut.ctx.set_finish
---@field req? Request nil in connect
---@field resp? Response nil until there is one

---A view of the event. Writing to it changes nothing: use mut.
---nil in flush and bus.
---@type Context?
ctx = nil

---@class ErrorInfo
---@field msg string with the traceback
---@field script? string whose error it was, when a script's
---@field hook? string
---@field code? string "script_error", "timeout", ...

---Only in error.lua.
---@type ErrorInfo
err = nil

---@class Options
---@field session string

---Only in flush.lua.
---@type Options
opts = nil

---@class WebSocketMessage
---@field direction "client_to_server"|"server_to_client"
---@field opcode integer
---@field opcode_name string "text", "binary", "close", "ping", "pong", ...
---@field data? string nil when empty
---@field text? string the data of a text message that is not empty
---@field timestamp integer Unix time in ms

---Only in ws_msg.lua.
---@type WebSocketMessage
ws = nil

---@class BusEvent
---@field seq integer rises, with gaps
---@field time integer Unix time in ms
---@field name string
---@field from string the script that emitted it
---@field data any

---Only in bus.lua.
---@type BusEvent
event = nil

---The script's own `config` of the configuration file.
---@type table
config = nil

------------------------------------------------------------------- mutations

mut = {}
mut.ctx = {}

---Do not contact the upstream: answer with the response made so far.
function mut.ctx.set_finish() end

mut.req = {}

---@param host string
function mut.req.set_host(host) end

---@param scheme "http"|"https"
function mut.req.set_scheme(scheme) end

---@param method string
function mut.req.set_method(method) end

---@param path string decoded; the query stays
function mut.req.set_path(path) end

---@param query string encoded, without "?"
function mut.req.set_query(query) end

---@param url string absolute; beats set_host and set_path
function mut.req.set_url(url) end

---@param body string
function mut.req.set_body(body) end

---@param name string
---@param value string|number
function mut.req.set_header(name, value) end

---@param name string
---@param value string|number
function mut.req.add_header(name, value) end

---@param name string
function mut.req.del_header(name) end

---@param cookie Cookie
function mut.req.set_cookie(cookie) end

---@param name string
function mut.req.del_cookie(name) end

mut.resp = {}

---@param status integer 100 to 999
function mut.resp.set_status(status) end

---@param body string
function mut.resp.set_body(body) end

---@param name string
---@param value string|number
function mut.resp.set_header(name, value) end

---@param name string
---@param value string|number
function mut.resp.add_header(name, value) end

---@param name string
function mut.resp.del_header(name) end

---@param cookie Cookie
function mut.resp.set_cookie(cookie) end

---@param name string
function mut.resp.del_cookie(name) end

mut.ws = {}

---@param data string
function mut.ws.set_data(data) end

---The message goes no further.
function mut.ws.drop() end

------------------------------------------------------------------- libraries

log = {}

---@param msg string
---@param attrs? table
function log.trace(msg, attrs) end

---@param msg string
---@param attrs? table
function log.debug(msg, attrs) end

---@param msg string
---@param attrs? table
function log.info(msg, attrs) end

---@param msg string
---@param attrs? table
function log.warn(msg, attrs) end

---@param msg string
---@param attrs? table
function log.error(msg, attrs) end

---Written whatever the log level.
---@param msg string
---@param attrs? table
function log.audit(msg, attrs) end

kv = {}

---@param key string
---@return string? value
---@return string? error
function kv.get(key) end

---@param key string
---@return string? value in base64
---@return string? error
function kv.get_base64(key) end

---@param key string
---@param value string|number
---@param options? {ttl: number} seconds
---@return boolean ok
---@return string? error
function kv.set(key, value, options) end

---In scripts with a table `hooks`, kv.delete(table, key) is that of the tables.
---@param key string
---@return boolean ok also when there was none
---@return string? error
---@overload fun(table: string, key: string): boolean
function kv.delete(key) end

---@param prefix string
---@return table<string, string>? values
---@return string? error
function kv.list(prefix) end

---Adds at once, exact under any concurrency.
---@param key string
---@param by? integer 1 when absent
---@return integer? value
---@return string? error
function kv.incr(key, by) end

---Sets at once, only if the value is still `old` (nil: absent).
---@param key string
---@param old string|number|nil
---@param new string|number
---@return boolean ok
---@return string? error
function kv.cas(key, old, new) end

bus = {}

---@param name string
---@param data? any
---@return string? error
function bus.emit(name, data) end

artifacts = {}

---@param name string
---@param content string
---@return boolean ok
---@return string? error
function artifacts.write(name, content) end

---@param name string
---@return string? content
---@return string? error
function artifacts.read(name) end

---@param name string
---@return boolean
function artifacts.exists(name) end

---@param name string
---@return boolean ok
---@return string? error
function artifacts.delete(name) end

---@param old string
---@param new string
---@return boolean ok
---@return string? error
function artifacts.rename(old, new) end

---@return string[]? names usable in read
---@return string? error
function artifacts.list() end

data_store = {}

---@param name string
---@return boolean
function data_store.exists(name) end

---@param name string
---@return string? content
---@return string? error
function data_store.read(name) end

---@param path string
---@param suffixes? string[] only names that end so
---@return string[]? names
---@return string? error
function data_store.list(path, suffixes) end

data = {}

---@param name string
---@return boolean
function data.exists(name) end

---@param name string
---@return string? content
---@return string? error
function data.read(name) end

---@param path string
---@param suffixes? string[] only names that end so
---@return string[]? names
---@return string? error
function data.list(path, suffixes) end

time = {}

---@return integer seconds since 1970
function time.unix() end

---@return string "2026-11-22T03:24:13Z"
function time.rfc3339() end

---@param format? string of %Y %y %m %d %H %M %S %F %T
---@return string
function time.date(format) end

base64 = {}

---@param bytes string
---@return string
function base64.encode(bytes) end

---@param text string
---@return string? bytes
---@return string? error
function base64.decode(text) end

json = {}

---@param value any
---@return string? text
---@return string? error
function json.encode(value) end

---@param text string
---@return any value
---@return string? error
function json.decode(text) end

crypto = {}

---@alias Hash "md5"|"sha1"|"sha224"|"sha256"|"sha384"|"sha512"|"sha3-256"|"sha3-512"

---What crypto.hash takes in scripts with a table `hooks`.
---@alias MqttHash "md4"|"md5"|"ripemd160"|"sha"|"sha224"|"sha256"|"sha384"|"sha512"|"sha3_224"|"sha3_256"|"sha3_384"|"sha3_512"|"blake2b"|"blake2s"

---@param algorithm Hash|MqttHash
---@param bytes string
---@return string digest in hexadecimal; with a table `hooks` its bytes
function crypto.hash(algorithm, bytes) end

---@param algorithm Hash
---@param key string
---@param bytes string
---@return string digest in hexadecimal
function crypto.hmac(algorithm, key, bytes) end

---@param n integer
---@return string bytes
function crypto.random(n) end

---@return string uuid version 4
function crypto.uuid() end

------------------------------------------------------------------- providers

---All optional; what is absent comes from the configuration.
---@class Pool
---@field pool_id? string
---@field size? integer
---@field host? string
---@field port? integer
---@field user? string
---@field password? string
---@field database? string|integer

---@class TlsPool: Pool
---@field ssl? boolean
---@field certfile? string
---@field cacertfile? string
---@field keyfile? string

---@class MongoPool: Pool
---@field login? string
---@field auth_source? string
---@field w_mode? string
---@field srv? string
---@field ssl? boolean

postgres = {}

---@param settings? TlsPool
---@return boolean
---@return string? error
function postgres.ensure_pool(settings) end

---@param pool string
---@param sql string
---@param ... any parameters
---@return table[]|boolean rows true or false where there are none
---@return string? error
function postgres.execute(pool, sql, ...) end

---@return string
function postgres.hash_method() end

cockroachdb = {}

---@param settings? TlsPool
---@return boolean
---@return string? error
function cockroachdb.ensure_pool(settings) end

---@param pool string
---@param sql string
---@param ... any parameters
---@return table[]|boolean rows true or false where there are none
---@return string? error
function cockroachdb.execute(pool, sql, ...) end

---@return string
function cockroachdb.hash_method() end

mysql = {}

---@param settings? Pool
---@return boolean
---@return string? error
function mysql.ensure_pool(settings) end

---@param pool string
---@param sql string
---@param ... any parameters
---@return table[]|boolean rows true or false where there are none
---@return string? error
function mysql.execute(pool, sql, ...) end

---@return string
function mysql.hash_method() end

mysql2 = {}

---@param settings? TlsPool
---@return boolean
---@return string? error
function mysql2.ensure_pool(settings) end

---@param pool string
---@param sql string
---@param ... any parameters
---@return table[]|boolean rows true or false where there are none
---@return string? error
function mysql2.execute(pool, sql, ...) end

---@return string
function mysql2.hash_method() end

mongodb = {}

---@param settings? MongoPool
---@return boolean
---@return string? error
function mongodb.ensure_pool(settings) end

---@param pool string
---@param collection string
---@param doc table a document or an array of them
---@return table doc with _id
function mongodb.insert(pool, collection, doc) end

---@param pool string
---@param collection string
---@param selector table
---@param doc table fields to set in the first that matches
---@return boolean
function mongodb.update(pool, collection, selector, doc) end

---@param pool string
---@param collection string
---@param selector table
---@return boolean
function mongodb.delete(pool, collection, selector) end

---@alias FindOptions {projector?: table, skip?: integer, batchsize?: integer}

---@param pool string
---@param collection string
---@param selector table
---@param options? FindOptions
---@return string cursor
function mongodb.find(pool, collection, selector, options) end

---@param pool string
---@param collection string
---@param selector table
---@param options? FindOptions
---@return table|false doc
function mongodb.find_one(pool, collection, selector, options) end

---@param cursor string
---@return table|false doc
function mongodb.next(cursor) end

---@param cursor string
---@param n integer
---@return table[]|false docs
function mongodb.take(cursor, n) end

---@param cursor string
---@return boolean
function mongodb.close(cursor) end

redis = {}

---@param settings? Pool
---@return boolean
---@return string? error
function redis.ensure_pool(settings) end

---@param pool string
---@param command string split at each space
---@param ... string|table arguments
---@return string|table|boolean|nil
---@return string? error
function redis.cmd(pool, command, ...) end

memcached = {}

---@param settings? Pool
---@return boolean
---@return string? error
function memcached.ensure_pool(settings) end

---@param pool string
---@return boolean
function memcached.flush_all(pool) end

---@param pool string
---@param key string
---@return string|false value
function memcached.get(pool, key) end

---@param pool string
---@param key string
---@param value string
---@param expire? integer seconds
---@return string|false value
function memcached.set(pool, key, value, expire) end

---@param pool string
---@param key string
---@param value string
---@param expire? integer seconds
---@return string|false value
function memcached.add(pool, key, value, expire) end

---@param pool string
---@param key string
---@param value string
---@param expire? integer seconds
---@return string|false value
function memcached.replace(pool, key, value, expire) end

---@param pool string
---@param key string
---@return boolean
function memcached.delete(pool, key) end

http = {}

---@alias HttpAnswer {status: integer, headers: table<string, string>, ref: string}
---@alias HttpBody string|table<string, string|number|boolean>

---@param settings? Pool
---@return boolean
---@return string? error
function http.ensure_pool(settings) end

---@param pool string
---@param url string
---@param body? HttpBody
---@param headers? table<string, string> count for nothing without a body
---@return HttpAnswer|false
---@return string? error
function http.get(pool, url, body, headers) end

---@param pool string
---@param url string
---@param body? HttpBody
---@param headers? table<string, string> count for nothing without a body
---@return HttpAnswer|false
---@return string? error
function http.put(pool, url, body, headers) end

---@param pool string
---@param url string
---@param body? HttpBody
---@param headers? table<string, string> count for nothing without a body
---@return HttpAnswer|false
---@return string? error
function http.post(pool, url, body, headers) end

---@param pool string
---@param url string
---@param body? HttpBody
---@param headers? table<string, string> count for nothing without a body
---@return HttpAnswer|false
---@return string? error
function http.delete(pool, url, body, headers) end

---@param ref string of an answer
---@return string body
function http.body(ref) end

----------------------------------------------- shims for scripts of older Lua

bit32 = {}

---@param msg any as print does, at level error
function eprint(msg, ...) end

---@param text string
---@param name? string
function loadstring(text, name) end

---@param list table
---@param i? integer
---@param j? integer
function unpack(list, i, j) end

--------------------------------- only in scripts with a table `hooks` (MQTT)

---The script's own: name of a hook to its function.
---@type table<string, function>
hooks = nil

---How many states there shall be.
---@type number
num_states = nil

---Do globals outlive a call?
---@type boolean
keep_state = nil

---The number of this state, from 1 on.
---@type integer
__SCRIPT_INSTANCE_ID__ = nil

---@alias UserProperty table<string, string> one key

---@class Properties
---@field p_session_expiry_interval? integer
---@field p_receive_max? integer
---@field p_topic_alias_max? integer
---@field p_max_packet_size? integer
---@field p_message_expiry_interval? integer
---@field p_will_delay_interval? integer
---@field p_request_response_info? boolean
---@field p_request_problem_info? boolean
---@field p_content_type? string
---@field p_response_topic? string
---@field p_correlation_data? string
---@field p_authentication_method? string
---@field p_authentication_data? string
---@field p_payload_format_indicator? "utf8"|"undefined"
---@field p_subscription_id? integer[]
---@field p_user_property? UserProperty[]

---@class Client
---@field mountpoint string
---@field client_id string
---@field username? string

---@class Registration: Client
---@field addr string
---@field port integer
---@field password? string plain text
---@field clean_session? boolean
---@field clean_start? boolean MQTT 5
---@field listener_addr? string
---@field listener_port? integer
---@field listener_type? string
---@field properties? Properties MQTT 5

---@class Message: Client
---@field topic string
---@field payload string
---@field qos integer
---@field retain boolean
---@field properties? Properties

---@class Subscription: Client
---@field topics table[] {topic, qos}; MQTT 5: {topic, {qos, options}}
---@field properties? Properties MQTT 5

---@class Unsubscription: Client
---@field topics string[]
---@field properties? Properties MQTT 5

---@param msg string
---@param attrs? table
function log.warning(msg, attrs) end

---@param settings {name?: string, type?: "set"|"ordered_set"|"bag"|"duplicate_bag"}
---@return boolean
function kv.ensure_table(settings) end

---@param table string
---@param entries table<string, any>
---@return boolean
function kv.insert(table, entries) end

---@param table string
---@param entries table<string, any>
---@return boolean inserted false: one of the keys was there, nothing was done
function kv.insert_new(table, entries) end

---@param table string
---@param key string
---@return any[] values
function kv.lookup(table, key) end

---@param table string
---@return boolean
function kv.delete_all(table) end

bcrypt = {}

---@return string salt
function bcrypt.gen_salt() end

---@param password string
---@param salt string a salt or a whole hash
---@return string hash
function bcrypt.hashpw(password, salt) end

auth_cache = {}

---@class Rule
---@field pattern string a filter with %m, %u, %c
---@field max_qos? integer
---@field modifiers? table
---@field max_payload_size? integer publish only
---@field allowed_retain? boolean publish only

---@param mountpoint string
---@param client_id string
---@param username string
---@param publish? Rule[]
---@param subscribe? Rule[]
---@param options? {ttl: number} seconds
---@return boolean
---@return string? error
function auth_cache.insert(mountpoint, client_id, username, publish, subscribe, options) end

---@param mountpoint string
---@param client_id string
---@param topic string
---@param qos integer
---@param payload string
---@param retain boolean
---@return table|boolean modifiers, true or false
function auth_cache.match_publish(mountpoint, client_id, topic, qos, payload, retain) end

---@param mountpoint string
---@param client_id string
---@param topic string
---@param qos integer
---@return table|boolean modifiers, true or false
function auth_cache.match_subscribe(mountpoint, client_id, topic, qos) end

vmq_api = {}

---@alias Subscriber {mountpoint: string, client_id: string}

---@param subscriber Subscriber
---@param options {do_cleanup?: boolean}
---@return "ok"|"not_found"|false
---@return string? error
function vmq_api.disconnect_by_subscriber_id(subscriber, options) end

---@param username string
---@param subscriber Subscriber
---@param options? table
---@return "ok"|false
---@return string? error
function vmq_api.reauthorize_subscriptions(username, subscriber, options) end

---@param message {topic: string, payload?: string, qos?: integer, retain?: boolean, client_id?: string}
---@return "ok"|"not_found"|false
---@return string? error
function vmq_api.publish(message) end

obf = {}

---@param value string
---@return string
function obf.encrypt(value) end

---@param value string
---@return string
function obf.decrypt(value) end
