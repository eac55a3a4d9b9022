/* The Merkle tree against the vectors of Certificate Transparency, and against the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ledgerfmt/merkle.h"

static const struct {
	const char *bytes;
	size_t len;
	const char *root; /* of the tree up to this leaf */
} vectors[] = {
    {"", 0, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
    {"\x00", 1, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"},
    {"\x10", 1, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"},
    {"\x20\x21", 2, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"},
    {"\x30\x31", 2, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"},
    {"\x40\x41\x42\x43", 4, "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8,
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16,
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"},
};

static void
an_empty_tree_has_the_hash_of_nothing(void **state)
{
	struct merkle m;
	uint8_t root[SHA256_BYTES];
	char hex[SHA256_HEX];
	merkle_init(&m);
	merkle_root(&m, root);
	hex_encode(root, sizeof(root), hex);
	assert_string_equal(
	    hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void
roots_are_those_of_certificate_transparency(void **state)
{
	struct merkle m;
	merkle_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		uint8_t leaf[SHA256_BYTES], root[SHA256_BYTES];
		char hex[SHA256_HEX];
		merkle_leaf(vectors[i].bytes, vectors[i].len, leaf);
		merkle_push(&m, leaf);
		merkle_root(&m, root);
		hex_encode(root, sizeof(root), hex);
		assert_string_equal(hex, vectors[i].root);
	}
}

/* RFC 6962, 2.1, word for word. */
static void
defined_root(uint8_t (*leaves)[SHA256_BYTES], size_t n, uint8_t ret[SHA256_BYTES])
{
	uint8_t both[1 + 2 * SHA256_BYTES] = {0x01};
	if (n == 1) {
		memcpy(ret, leaves[0], SHA256_BYTES);
		return;
	}
	size_t k = 1;
	while (k * 2 < n)
		k *= 2;
	defined_root(leaves, k, both + 1);
	defined_root(leaves + k, n - k, both + 1 + SHA256_BYTES);
	sha256(both, sizeof(both), ret);
}

static void
every_size_has_the_root_that_the_rfc_defines(void **state)
{
	static uint8_t leaves[300][SHA256_BYTES];
	struct merkle m;
	merkle_init(&m);
	for (size_t i = 0; i < ARRAY_LEN(leaves); i++) {
		uint8_t root[SHA256_BYTES], expected[SHA256_BYTES];
		merkle_leaf(&i, sizeof(i), leaves[i]);
		merkle_push(&m, leaves[i]);
		merkle_root(&m, root);
		defined_root(leaves, i + 1, expected);
		assert_memory_equal(root, expected, SHA256_BYTES);
		assert_int_equal(m.size, i + 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_empty_tree_has_the_hash_of_nothing),
	    cmocka_unit_test(roots_are_those_of_certificate_transparency),
	    cmocka_unit_test(every_size_has_the_root_that_the_rfc_defines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
