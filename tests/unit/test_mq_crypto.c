/* SPDX-License-Identifier: Apache-2.0 */
/* crypto and obf of the dialect mqtt. */
#include "tests/lib/mqrun.h"

/* Of "abc", made with another program. */
static const char *const digests[][2] = {
	{"md4", "a448017aaf21d8525fc10ae87aa6729d"},
	{"ripemd160", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"},
	{"md5", "900150983cd24fb0d6963f7d28e17f72"},
	{"sha", "a9993e364706816aba3e25717850c26c9cd0d89d"},
	{"sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9d"
		   "a7"},
	{"sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff"
		   "61f20015ad"},
	{"sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b60"
		   "5a43ff5bed8086072ba1e7cc2358baeca134c825a7"},
	{"sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eee"
		   "e64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643c"
		   "e80e2a9ac94fa54ca49f"},
	{"sha3_224", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46f"
		     "df"},
	{"sha3_256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe2"
		     "4511431532"},
	{"sha3_384", "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7c"
		     "f0e49be4b298d88cea927ac7f539f1edf228376d25"},
	{"sha3_512", "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d"
		     "0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408"
		     "d5a56592f8274eec53f0"},
	{"blake2b", "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb"
		    "6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1"
		    "925ab92386edd4009923"},
	{"blake2s", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b"
		    "4c86675982"},
};

Test(mq_crypto, hash)
{
	char text[200];

	for (size_t i = 0; i < sizeof(digests) / sizeof(*digests); i++) {
		snprintf(text, sizeof(text),
			 "return (crypto.hash('%s', 'abc'):gsub('.', "
			 "function(c) return ('%%02x'):format(c:byte()) end))",
			 digests[i][0]);
		expect(text, digests[i][1]);
	}
	expect("return #crypto.hash('md5', '')", "16");
	expect("return crypto.hash('sha', '\\0\\xff') == "
	       "crypto.hash('sha', '\\0\\xff')",
	       "true");
}

Test(mq_crypto, unknown_algorithm)
{
	expect_error("crypto.hash('sha1', '')", "bad argument #1 to 'hash' "
						"(unknown algorithm 'sha1')");
	expect_error("crypto.hash('sha3-256', '')", "unknown algorithm");
	expect_error("crypto.hash('SHA256', '')", "unknown algorithm");
	expect_error("crypto.hash('md5\\0', '')", "unknown algorithm");
	expect_error("crypto.hash(nil, '')", "string expected, got nil");
	expect_error("crypto.hash('md5', 1)", "bad argument #2 to 'hash'");
	expect_error("crypto.hash('md5')", "bad argument #2 to 'hash'");
	expect("return pcall(crypto.hash, 'crc', 'x')", "false");
}

Test(mq_crypto, ours_stay)
{
	expect("return crypto.hmac('sha256', 'Jefe', "
	       "'what do ya want for nothing?')",
	       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec38"
	       "43");
	expect("return #crypto.random(9) + #crypto.uuid()", "45");
}

Test(mq_obf, decrypt_gives_plain_text_back)
{
	expect("return obf.decrypt('secret')", "secret");
	expect("return obf.decrypt('')", "");
	expect("return obf.decrypt('\\x1bobf1') == '\\x1bobf1'", "true");
	expect("return obf.decrypt(('\\x1bobf1'):rep(9)) == "
	       "('\\x1bobf1'):rep(9)",
	       "true");
}

Test(mq_obf, encrypt_and_back)
{
	expect("for n = 0, 200 do local s = ('x\\0'):rep(n) "
	       "local e = obf.encrypt(s) "
	       "if e == s or obf.decrypt(e) ~= s then return n end end",
	       "nil");
	expect("return obf.encrypt('a') == obf.encrypt('a')", "false");
	expect("return obf.encrypt('secret'):find('secret', 1, true)", "nil");
	expect("return obf.decrypt(obf.decrypt(obf.encrypt('p')))", "p");
	/* One byte another: no blob of ours. */
	expect("local e = obf.encrypt('secret') for i = 1, #e do "
	       "local bad = e:sub(1, i - 1) .. "
	       "string.char(e:byte(i) ~ 1) .. e:sub(i + 1) "
	       "if obf.decrypt(bad) ~= bad then return i end end",
	       "nil");
	expect("local big = ('y'):rep(300000) "
	       "return obf.decrypt(obf.encrypt(big)) == big",
	       "true");
}

Test(mq_obf, only_strings)
{
	expect_error("obf.decrypt(nil)", "bad argument #1 to 'decrypt'");
	expect_error("obf.decrypt()", "bad argument #1 to 'decrypt'");
	expect_error("obf.decrypt(1)", "bad argument #1 to 'decrypt'");
	expect_error("obf.encrypt({})", "bad argument #1 to 'encrypt'");
}
