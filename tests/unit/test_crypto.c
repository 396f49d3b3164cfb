/* SPDX-License-Identifier: Apache-2.0 */
/* crypto: published vectors, and numbers that differ. */
#include "tests/lib/vmrun.h"

Test(crypto, hash)
{
	expect("return crypto.hash('md5', '')",
	       "d41d8cd98f00b204e9800998ecf8427e");
	expect("return crypto.hash('sha1', 'abc')",
	       "a9993e364706816aba3e25717850c26c9cd0d89d");
	expect("return crypto.hash('sha256', 'abc')",
	       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015"
	       "ad");
	expect("return #crypto.hash('sha512', 'abc')", "128");
	expect("return #crypto.hash('sha3-256', 'abc')", "64");
	run("return select(2, pcall(crypto.hash, 'crc', ''))");
	cr_expect(strstr(result, "unknown algorithm 'crc'"), "%s", result);
}

/* RFC 4231, case 2; and a key longer than a block, case 6. */
Test(crypto, hmac)
{
	expect("return crypto.hmac('sha256', 'Jefe', "
	       "'what do ya want for nothing?')",
	       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec38"
	       "43");
	expect("return crypto.hmac('sha256', ('\\xaa'):rep(131), "
	       "'Test Using Larger Than Block-Size Key - Hash Key First')",
	       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f"
	       "54");
}

Test(crypto, random)
{
	expect("return #crypto.random(0) + #crypto.random(1000)", "1000");
	expect("return crypto.random(16) ~= crypto.random(16)", "true");
	expect("return pcall(crypto.random, -1) or pcall(crypto.random, "
	       "1 << 40)",
	       "false");
	expect("return crypto.uuid():match('^%x+%-%x%x%x%x%-4%x%x%x%-"
	       "[89ab]%x%x%x%-%x+$') ~= nil and #crypto.uuid()",
	       "36");
}
