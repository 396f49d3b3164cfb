/* SPDX-License-Identifier: Apache-2.0 */
/* The providers: what goes to the broker and what a script gets back. */
#include "tests/lib/mqrun.h"

TestSuite(mq_provider, .timeout = 60);

#define CALL "provider.call [7 "

Test(mq_provider, pools_have_names)
{
	static const char *const names[] = {"postgres",	 "cockroachdb", "mysql",
					    "mysql2",	 "mongodb",	"redis",
					    "memcached", "http"};
	char text[100], want[200];

	pack_bool(answer_with(), true);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(text, sizeof(text), "return %s.ensure_pool{}",
			 names[i]);
		snprintf(want, sizeof(want),
			 CALL "'%s' 'ensure_pool' 'pool_%s' [{}]]", names[i],
			 names[i]);
		expect_asked(text, want);
		cr_expect_str_eq(result, "true");
	}
	expect_asked("return redis.ensure_pool()",
		     CALL "'redis' 'ensure_pool' 'pool_redis' [{}]]");
	expect_asked("redis.ensure_pool{pool_id = 'mine'}",
		     CALL "'redis' 'ensure_pool' 'mine' [{'pool_id'='mine'}]]");
	expect_asked("http.ensure_pool{size = 3}",
		     CALL "'http' 'ensure_pool' 'pool_http' [{'size'=3}]]");
	expect_error("redis.ensure_pool('x')", "table expected, got string");
	expect_error("redis.ensure_pool{'x'}", "its keys must be strings");
	expect_error("redis.ensure_pool{pool_id = 1}",
		     "pool_id: string expected, got number");
}

/* As many as there are, and each as it is. */
Test(mq_provider, parameters)
{
#define EXECUTE CALL "'postgres' 'execute' 'p' ["
	expect_asked("postgres.execute('p', 'SQL')", EXECUTE "'SQL']]");
	expect_asked("postgres.execute('p', 'SQL', nil)",
		     EXECUTE "'SQL' nil]]");
	expect_asked("postgres.execute('p', 'SQL', nil, 1, nil)",
		     EXECUTE "'SQL' nil 1 nil]]");
	expect_asked("postgres.execute('p', 'SQL', 1, 1.0, 2.5, true, false)",
		     EXECUTE "'SQL' 1 1f 2.5f true false]]");
	expect_asked("postgres.execute('p', 'SQL', '', '\\xff', 'a b')",
		     EXECUTE "'SQL' '' b'\xff' 'a b']]");
	expect_asked("postgres.execute('p', 'SQL', {}, {1, {2.0}}, {a = 1})",
		     EXECUTE "'SQL' [] [1 [2f]] {'a'=1}]]");
	expect_asked("postgres.execute('p', 'SQL', table.unpack({}, 1, 3))",
		     EXECUTE "'SQL' nil nil nil]]");
	expect_asked("postgres.execute('p', 'SQL', math.mininteger)",
		     EXECUTE "'SQL' -9223372036854775808]]");
	expect_asked("return postgres.hash_method()",
		     CALL "'postgres' 'hash_method' nil []]");
}

Test(mq_provider, what_cannot_be_sent)
{
	expect_error("postgres.execute()", "bad argument #1 to 'execute'");
	expect_error("postgres.execute(1, 'x')", "string expected, got number");
	expect_error("postgres.execute('p')", "bad argument #2 to 'execute'");
	expect_error("postgres.execute('p', 'x', 1, print)",
		     "bad argument #4 to 'execute' (functions and threads");
	expect_error("local t = {} t.t = t postgres.execute('p', 'x', t)",
		     "nested too deep");
	expect_error("local t = {} for i = 1, 20 do t = {t, t, t, t} end "
		     "postgres.execute('p', 'x', t)",
		     "nested too deep");
	/* The same again and again would be more than a message holds. */
	expect_error("local s = ('x'):rep(1 << 20) local t = {} "
		     "for i = 1, 30 do t[i] = s end "
		     "postgres.execute('p', 'x', t)",
		     "bad argument #3 to 'execute' (too large)");
	/* And the next call is as good as ever. */
	expect_asked("pcall(postgres.execute, 'p', 'x', print) "
		     "postgres.execute('p', 'y')",
		     EXECUTE "'y']]");
}

Test(mq_provider, mongodb)
{
#define MONGO(op) CALL "'mongodb' '" op "' 'p' ['c' "
	expect_asked("mongodb.insert('p', 'c', {a = {}, b = {1}})",
		     MONGO("insert") "{'a'=[] 'b'=[1]}]]");
	expect_asked("mongodb.insert('p', 'c', {{a = 1}})",
		     MONGO("insert") "[{'a'=1}]]]");
	expect_asked("mongodb.find('p', 'c', {})", MONGO("find") "{} nil]]");
	expect_asked("mongodb.find('p', 'c', {a = 1}, {skip = 2})",
		     MONGO("find") "{'a'=1} {'skip'=2}]]");
	expect_asked("mongodb.find_one('p', 'c', {_id = 'vmq'}, {})",
		     MONGO("find_one") "{'_id'='vmq'} {}]]");
	expect_asked("mongodb.update('p', 'c', {a = 1}, {b = {1.0}})",
		     MONGO("update") "{'a'=1} {'b'=[1f]}]]");
	expect_asked("mongodb.delete('p', 'c', {})", MONGO("delete") "{}]]");
	expect_asked("mongodb.next('cur')",
		     CALL "'mongodb' 'next' nil ['cur']]");
	expect_asked("mongodb.take('cur', 5)",
		     CALL "'mongodb' 'take' nil ['cur' 5]]");
	expect_asked("mongodb.close('cur')",
		     CALL "'mongodb' 'close' nil ['cur']]");
	expect_error("mongodb.update('p', 'c', {}, {b = 1})", "it is empty");
	expect_error("mongodb.update('p', 'c', {a = 1}, {})", "it is empty");
	expect_error("mongodb.update('p', 'c', {a = 1}, {1})",
		     "bad argument #4 to 'update' (its keys must be strings)");
	expect_error("mongodb.insert('p', 'c', 'doc')", "table expected");
	expect_error("mongodb.find('p', 'c')", "table expected, got no value");
	expect_error("mongodb.take('cur', 'x')", "number expected");
}

Test(mq_provider, redis_memcached_http)
{
	expect_asked("redis.cmd('p', 'SET a  b', 'c d', {'x', 'y'})",
		     CALL "'redis' 'cmd' 'p' ['SET a  b' 'c d' ['x' 'y']]]");
	expect_asked("memcached.set('p', 'k', 'v')",
		     CALL "'memcached' 'set' 'p' ['k' 'v' 0]]");
	expect_asked("memcached.add('p', 'k', 'v', 60)",
		     CALL "'memcached' 'add' 'p' ['k' 'v' 60]]");
	expect_asked("memcached.replace('p', 'k', 'v', 60.0)",
		     CALL "'memcached' 'replace' 'p' ['k' 'v' 60]]");
	expect_asked("memcached.get('p', 'unknown key')",
		     CALL "'memcached' 'get' 'p' ['unknown key']]");
	expect_asked("memcached.delete('p', 'k')",
		     CALL "'memcached' 'delete' 'p' ['k']]");
	expect_asked("memcached.flush_all('p')",
		     CALL "'memcached' 'flush_all' 'p' []]");
	expect_error("memcached.set('p', 1, 'v')", "string expected");
	expect_error("memcached.set('p', 'k', 'v', 'x')", "number expected");
	expect_asked("http.get('p', 'http://h/')",
		     CALL "'http' 'get' 'p' ['http://h/']]");
	expect_asked("http.post('p', 'http://h/', 'b', {['X-A'] = '1'})",
		     CALL "'http' 'post' 'p' ['http://h/' 'b' {'X-A'='1'}]]");
	expect_asked("http.put('p', 'http://h/', {a = '1'})",
		     CALL "'http' 'put' 'p' ['http://h/' {'a'='1'}]]");
	expect_asked("http.delete('p', 'http://h/', nil, {a = 'b'})",
		     CALL "'http' 'delete' 'p' ['http://h/' nil {'a'='b'}]]");
	expect("return http.body('the body')", "the body");
	cr_expect_str_eq(was_asked(), "");
	expect_error("http.body(nil)", "string expected, got nil");
}

static void answer_rows(void)
{
	struct buf *b = answer_with();

	pack_array(b, 2);
	pack_map(b, 3);
	pack_cstr(b, "a");
	pack_int(b, -5);
	pack_cstr(b, "f");
	pack_double(b, 2);
	pack_cstr(b, "n");
	pack_nil(b);
	pack_map(b, 3);
	pack_cstr(b, "b");
	pack_bin(b, slice_of("\0\xff", 2));
	pack_cstr(b, "t");
	pack_bool(b, true);
	pack_cstr(b, "l");
	pack_array(b, 2);
	pack_nil(b);
	pack_uint(b, UINT64_MAX);
}

Test(mq_provider, answers)
{
	answer_rows();
#define ROWS "local r = postgres.execute('p', 'q') "
	expect(ROWS "return #r", "2");
	expect(ROWS "return math.type(r[1].a) .. r[1].a", "integer-5");
	expect(ROWS "return math.type(r[1].f)", "float");
	expect(ROWS "return r[1].n", "null");
	expect(ROWS "return r[2].b == '\\0\\xff'", "true");
	expect(ROWS "return r[2].t", "true");
	expect(ROWS "return r[2].l[1] .. math.type(r[2].l[2])", "nullfloat");
	pack_bool(answer_with(), false);
	expect(ROWS "return r", "false");
	pack_array(answer_with(), 0);
	expect(ROWS "return type(r) .. #r", "table0");
}

static const char *null_of(const char *expression)
{
	char text[200];

	snprintf(text, sizeof(text), "return (%s)[1]", expression);
	return run(text);
}

Test(mq_provider, nulls)
{
	struct buf *b = answer_with();

	pack_array(b, 1);
	pack_nil(b);
	cr_expect_str_eq(null_of("postgres.execute('p', '')"), "null");
	cr_expect_str_eq(null_of("cockroachdb.execute('p', '')"), "null");
	cr_expect_str_eq(null_of("mysql2.execute('p', '')"), "null");
	cr_expect_str_eq(null_of("mysql.execute('p', '')"), "undefined");
	cr_expect_str_eq(null_of("mongodb.next('c')"), "undefined");
	cr_expect_str_eq(null_of("redis.cmd('p', 'mget a')"), "undefined");
	pack_nil(answer_with());
	expect("return redis.cmd('p', 'get a')", "nil");
	mq_script.nulls = false;
	b = answer_with();
	pack_array(b, 1);
	pack_nil(b);
	cr_expect_str_eq(null_of("mysql.execute('p', '')"), "nil");
	cr_expect_str_eq(null_of("redis.cmd('p', 'mget a')"), "nil");
}

Test(mq_provider, badarg_is_an_error)
{
	refuse_with("badarg", "no pool x");
	expect_error("postgres.execute('x', '')",
		     "demo.lua:1: bad argument to 'execute' (no pool x)");
	expect("return select(2, pcall(function() redis.cmd('x', 'y') end))",
	       "demo.lua:1: bad argument to 'cmd' (no pool x)");
	expect("return select(2, pcall(postgres.execute, 'x', ''))",
	       "bad argument to 'execute' (no pool x)");
	expect("return select(2, pcall(kv.lookup, 'x', 'y'))",
	       "bad argument to 'lookup' (no pool x)");
	expect("local f = redis.cmd local ok, why = pcall(function() "
	       "f('x', 'y') end) return why",
	       "demo.lua:1: bad argument to 'f' (no pool x)");
}

Test(mq_provider, who_cannot_be_reached)
{
	static const struct {
		const char *call;
		bool raises;
	} cases[] = {
		{"postgres.execute('p', '')", true},
		{"cockroachdb.execute('p', '')", true},
		{"mysql.execute('p', '')", true},
		{"mysql2.execute('p', '')", false},
		{"mongodb.find_one('p', 'c', {})", true},
		{"redis.cmd('p', 'get x')", false},
		{"memcached.get('p', 'x')", true},
		{"http.get('p', 'http://h/')", false},
	};
	char text[100];

	refuse_with("unavailable", "p is not connected");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), "return %s", cases[i].call);
		if (cases[i].raises)
			expect_error(text, "unavailable: p is not connected");
		else
			expect(text, "false");
		cr_expect_eq(!strstr(was_asked(), "log [7 3 "), cases[i].raises,
			     "%s", was_asked());
	}
	expect("return select(2, redis.cmd('p', 'x'))",
	       "unavailable: p is not connected");
}

Test(mq_provider, other_failures)
{
	refuse_with("denied", "denied: no grant for providers 'redis'");
	expect("return redis.cmd('p', 'x')", "false");
	expect("return select(2, postgres.execute('p', 'x'))",
	       "denied: no grant for providers 'redis'");
	expect("return http.ensure_pool{}", "false");
	refuse_with("too_large", "the answer is over 16777216 bytes");
	expect_error("redis.cmd('p', 'x')", "too_large: the answer is");
	refuse_with("overloaded", "why");
	expect_error("http.get('p', 'x')", "overloaded: why");
	refuse_with("timeout", "why");
	expect_error("return pcall(redis.cmd, 'p', 'x')", "timeout");
	refuse_with("unavailable", "why");
	expect_error("mysql.ensure_pool{}", "unavailable: why");
}

/* Scripts of hook files have the same, but for NULL. */
Test(mq_provider, hook_files)
{
	struct buf *b;

	mq_script.dialect = DIALECT_HTTP;
	mq_script.nulls = false;
	expect("return vmq_api or obf or auth_cache or bcrypt", "nil");
	b = answer_with();
	pack_array(b, 2);
	pack_nil(b);
	pack_int(b, 1);
	expect("return mysql.execute('p', 'q', 1.0)[1]", "nil");
	cr_expect_str_eq(was_asked(), CALL "'mysql' 'execute' 'p' ['q' 1f]]");
	refuse_with("denied", "denied: why");
	expect("return select(2, redis.cmd('p', 'x'))", "denied: why");
}
