---@meta
-- What pinfold gives to hook files, for the Lua language server: point
-- `Lua.workspace.library` at this file. It is never run. A test compares it
-- with what a worker really exports. In words: docs/scripts.md.

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

---@param key string
---@return boolean ok also when there was none
---@return string? error
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

---@param algorithm Hash
---@param bytes string
---@return string digest in hexadecimal
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
