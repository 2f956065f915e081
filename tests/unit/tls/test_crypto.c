/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <unistd.h>

#include "record_support.h"
#include "tls/crypto_internal.h"

static const char *const device_names[] = {"ipsec-mb", "openssl"};

struct vector {
	const char *name;
	enum crypto_aead aead;
	const char *key, *nonce, *aad, *text, *sealed, *tag;
};

/* The GCM specification's test cases 1 to 3 and 13 to 15 (NIST CAVS has the same), and RFC 8439
 * section 2.8.2. */
static const struct vector vectors[] = {
	{"GCM 1", CRYPTO_AES_128_GCM, "00000000000000000000000000000000",
	 "000000000000000000000000", "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
	{"GCM 2", CRYPTO_AES_128_GCM, "00000000000000000000000000000000",
	 "000000000000000000000000", "", "00000000000000000000000000000000",
	 "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"},
	{"GCM 3", CRYPTO_AES_128_GCM, "feffe9928665731c6d6a8f9467308308",
	 "cafebabefacedbaddecaf888", "",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	 "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
	 "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
	 "4d5c2af327cd64a62cf35abd2ba6fab4"},
	{"GCM 13", CRYPTO_AES_256_GCM,
	 "0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{"GCM 14", CRYPTO_AES_256_GCM,
	 "0000000000000000000000000000000000000000000000000000000000000000",
	 "000000000000000000000000", "", "00000000000000000000000000000000",
	 "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
	{"GCM 15", CRYPTO_AES_256_GCM,
	 "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	 "cafebabefacedbaddecaf888", "",
	 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
	 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
	 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
	 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
	 "b094dac5d93471bdec1a502270e3cc6c"},
	{"RFC 8439", CRYPTO_CHACHA20_POLY1305,
	 "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
	 "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
	 "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
	 "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
	 "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
	 "637265656e20776f756c642062652069742e",
	 "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
	 "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
	 "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
	 "3ff4def08e4b7a9de576d26586cec64b6116",
	 "1ae10b594f09e26a7e902ecbd0600691"},
};

static struct crypto_device *
open_device(const char *name)
{
	char error[256] = "";
	struct crypto_device *device = crypto_device_open(name, 0, error, sizeof(error));

	if (device == NULL)
		fail_msg("%s: %s", name, error);
	return device;
}

static int8_t
run(struct crypto_device *device, struct crypto_op *op)
{
	struct crypto_op *ops[1] = {op};

	assert_int_equal(crypto_submit(device, ops, 1), 1);
	ops[0] = NULL;
	assert_int_equal(crypto_poll(device, ops, 1), 1);
	assert_ptr_equal(ops[0], op);
	return op->status;
}

static struct crypto_op
op_of(struct crypto_key *key, const struct tls_chain *chain, uint32_t length, bool seal)
{
	struct crypto_op op = {
		.key = key,
		.first = chain->head,
		.length = length,
		.seal = seal,
	};

	return op;
}

/* Text and tag in one chain of pieces that end at `a` and `b`. */
static struct tls_chain
chain_in_three(const uint8_t *bytes, uint32_t n, uint32_t a, uint32_t b)
{
	struct tls_chain chain = {0};

	tls_chain_append(&chain, new_buffer(bytes, a));
	tls_chain_append(&chain, new_buffer(bytes + a, b - a));
	tls_chain_append(&chain, new_buffer(bytes + b, n - b));
	return chain;
}

struct parsed {
	uint8_t text[256], sealed[256 + CRYPTO_TAG_LEN];
	uint32_t n;
	struct crypto_op op; /* nonce, aad */
	struct crypto_key *key;
};

static void
parse(const struct vector *v, struct crypto_device *device, struct parsed *p)
{
	uint8_t key[CRYPTO_KEY_MAX];

	memset(p, 0, sizeof(*p));
	unhex(v->key, key);
	p->n = unhex(v->text, p->text);
	assert_int_equal(unhex(v->sealed, p->sealed), p->n);
	unhex(v->tag, p->sealed + p->n);
	unhex(v->nonce, p->op.nonce);
	p->op.aad_len = unhex(v->aad, p->op.aad);
	p->key = crypto_key_create(device, v->aead, key);
	assert_non_null(p->key);
}

static void
check_split(struct crypto_device *device, const struct parsed *p, uint32_t a, uint32_t b, bool seal)
{
	uint32_t total = p->n + CRYPTO_TAG_LEN;
	uint8_t before[256 + CRYPTO_TAG_LEN] = {0};
	uint8_t after[256 + CRYPTO_TAG_LEN];
	struct crypto_op op;
	struct tls_chain chain;

	memcpy(before, seal ? p->text : p->sealed, seal ? p->n : total);
	chain = chain_in_three(before, total, a, b);
	op = op_of(p->key, &chain, p->n, seal);
	memcpy(op.nonce, p->op.nonce, sizeof(op.nonce));
	memcpy(op.aad, p->op.aad, sizeof(op.aad));
	op.aad_len = p->op.aad_len;
	assert_int_equal(run(device, &op), CRYPTO_DONE);
	take_bytes(chain.head, after, sizeof(after));
	if (seal)
		assert_memory_equal(after, p->sealed, total);
	else
		assert_memory_equal(after, p->text, p->n);
}

static void
known_answers_over_every_split(void **state)
{
	for (size_t d = 0; d < RTE_DIM(device_names); d++) {
		struct crypto_device *device = open_device(device_names[d]);

		for (size_t i = 0; i < RTE_DIM(vectors); i++) {
			struct parsed p;

			parse(&vectors[i], device, &p);
			for (uint32_t a = 0; a <= p.n + CRYPTO_TAG_LEN; a++)
				for (uint32_t b = a; b <= p.n + CRYPTO_TAG_LEN; b += 3) {
					check_split(device, &p, a, b, true);
					check_split(device, &p, a, b, false);
				}
			crypto_key_destroy(p.key);
		}
		crypto_device_close(device);
	}
	assert_nothing_is_out();
}

static void
seal_with(struct crypto_device *device, enum crypto_aead aead, const uint8_t *text, uint32_t n,
	  const struct cut *cut, uint8_t *out)
{
	uint8_t bytes[CRYPTO_KEY_MAX];
	uint8_t *padded = calloc(1, n + CRYPTO_TAG_LEN);
	struct crypto_key *key;
	struct tls_chain chain;
	struct crypto_op op;

	fill(bytes, sizeof(bytes), 9);
	key = crypto_key_create(device, aead, bytes);
	memcpy(padded, text, n);
	chain = make_chain(padded, n + CRYPTO_TAG_LEN, cut);
	free(padded);
	op = op_of(key, &chain, n, true);
	fill(op.nonce, sizeof(op.nonce), 77);
	fill(op.aad, sizeof(op.aad), 3);
	op.aad_len = n % 2 ? 5 : 13;
	assert_int_equal(run(device, &op), CRYPTO_DONE);
	assert_int_equal(take_bytes(chain.head, out, n + CRYPTO_TAG_LEN), n + CRYPTO_TAG_LEN);
	crypto_key_destroy(key);
}

static void
both_back_ends_agree_whatever_the_buffers(void **state)
{
	static const uint32_t sizes[] = {0,   1,   15,  16,  17,   63,   64,   65,    127,  128,
					 255, 256, 257, 768, 1000, 1400, 4095, 16384, 16385};
	struct crypto_device *a = open_device("ipsec-mb");
	struct crypto_device *b = open_device("openssl");
	static uint8_t text[20000], one[20000], other[20000];

	fill(text, sizeof(text), 0);
	for (int aead = 0; aead < CRYPTO_AEAD_MAX; aead++)
		for (size_t s = 0; s < RTE_DIM(sizes); s++)
			for (size_t c = 0; c < RTE_DIM(cuts); c++) {
				seal_with(a, aead, text, sizes[s], &cuts[c], one);
				seal_with(b, aead, text, sizes[s], &cuts[2], other);
				assert_memory_equal(one, other, sizes[s] + CRYPTO_TAG_LEN);
			}
	crypto_device_close(a);
	crypto_device_close(b);
	assert_nothing_is_out();
}

static bool
all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

static void
bad_tag_is_told_and_the_text_wiped(void **state)
{
	for (size_t d = 0; d < RTE_DIM(device_names); d++) {
		struct crypto_device *device = open_device(device_names[d]);

		for (size_t i = 0; i < RTE_DIM(vectors); i++) {
			struct parsed p;

			parse(&vectors[i], device, &p);
			for (uint32_t bit = 0; bit < 8 * (p.n + CRYPTO_TAG_LEN); bit += 5) {
				uint8_t bytes[256 + CRYPTO_TAG_LEN];
				struct tls_chain chain;
				struct crypto_op op;

				memcpy(bytes, p.sealed, sizeof(bytes));
				bytes[bit / 8] ^= 1u << bit % 8;
				chain = chain_in_three(bytes, p.n + CRYPTO_TAG_LEN, p.n / 3,
						       p.n / 2);
				op = op_of(p.key, &chain, p.n, false);
				memcpy(op.nonce, p.op.nonce, sizeof(op.nonce));
				memcpy(op.aad, p.op.aad, sizeof(op.aad));
				op.aad_len = p.op.aad_len;
				assert_int_equal(run(device, &op), CRYPTO_BAD_TAG);
				take_bytes(chain.head, bytes, sizeof(bytes));
				assert_true(all_zero(bytes, p.n));
			}
			crypto_key_destroy(p.key);
		}
		crypto_device_close(device);
	}
	assert_nothing_is_out();
}

static void
changed_additional_data_is_a_bad_tag(void **state)
{
	for (size_t d = 0; d < RTE_DIM(device_names); d++) {
		struct crypto_device *device = open_device(device_names[d]);
		struct tls_chain chain;
		struct crypto_op op;
		struct parsed p;

		parse(&vectors[RTE_DIM(vectors) - 1], device, &p);
		chain = chain_in_three(p.sealed, p.n + CRYPTO_TAG_LEN, 1, 2);
		op = op_of(p.key, &chain, p.n, false);
		memcpy(op.nonce, p.op.nonce, sizeof(op.nonce));
		memcpy(op.aad, p.op.aad, sizeof(op.aad));
		op.aad_len = p.op.aad_len - 1;
		assert_int_equal(run(device, &op), CRYPTO_BAD_TAG);
		tls_chain_free(&chain);
		crypto_key_destroy(p.key);
		crypto_device_close(device);
	}
	assert_nothing_is_out();
}

static void
chain_too_short_for_text_or_tag_fails(void **state)
{
	static const uint8_t zeros[64];

	for (size_t d = 0; d < RTE_DIM(device_names); d++) {
		struct crypto_device *device = open_device(device_names[d]);

		for (int aead = 0; aead < CRYPTO_AEAD_MAX; aead++)
			for (uint32_t length = 33; length <= 80; length += 13) {
				struct crypto_key *key = crypto_key_create(device, aead, zeros);
				struct tls_chain chain = {0};
				struct crypto_op op;

				tls_chain_append(&chain, new_buffer(zeros, 48));
				op = op_of(key, &chain, length, length % 2);
				assert_int_equal(run(device, &op), CRYPTO_FAILED);
				tls_chain_free(&chain);
				crypto_key_destroy(key);
			}
		crypto_device_close(device);
	}
	assert_nothing_is_out();
}

static void
keys_are_kept_apart_in_a_batch(void **state)
{
	enum { N = 40 };
	static const uint8_t zeros[64];

	for (size_t d = 0; d < RTE_DIM(device_names); d++) {
		struct crypto_device *device = open_device(device_names[d]);
		struct crypto_key *keys[N];
		struct tls_chain sealed[N];
		struct crypto_op op[N], *ops[N], *done[N];
		uint8_t alone[N][64];

		for (int i = 0; i < N; i++) {
			uint8_t bytes[CRYPTO_KEY_MAX];

			fill(bytes, sizeof(bytes), i);
			keys[i] = crypto_key_create(device, i % CRYPTO_AEAD_MAX, bytes);
			sealed[i] = (struct tls_chain){0};
			tls_chain_append(&sealed[i], new_buffer(zeros, 64));
			op[i] = op_of(keys[i], &sealed[i], 48, true);
			run(device, &op[i]);
			take_bytes(sealed[i].head, alone[i], 64);
			sealed[i] = (struct tls_chain){0};
			tls_chain_append(&sealed[i], new_buffer(zeros, 64));
			op[i] = op_of(keys[i], &sealed[i], 48, true);
			ops[i] = &op[i];
		}
		assert_int_equal(crypto_submit(device, ops, N), N);
		assert_int_equal(crypto_poll(device, done, N), N);
		for (int i = 0; i < N; i++) {
			uint8_t together[64];

			assert_ptr_equal(done[i], &op[i]);
			take_bytes(sealed[i].head, together, 64);
			assert_memory_equal(together, alone[i], 64);
			crypto_key_destroy(keys[i]);
		}
		crypto_device_close(device);
	}
	assert_nothing_is_out();
}

static void
full_ring_takes_no_more_until_polled(void **state)
{
	struct crypto_device *device = open_device("ipsec-mb");
	static const uint8_t zeros[64];
	struct crypto_key *key = crypto_key_create(device, CRYPTO_AES_128_GCM, zeros);
	static struct crypto_op op[CRYPTO_RING + 10];
	static struct crypto_op *ops[CRYPTO_RING + 10], *done[CRYPTO_RING + 10];
	struct tls_chain chain = {0};

	tls_chain_append(&chain, new_buffer(zeros, 64));
	for (uint32_t i = 0; i < RTE_DIM(op); i++) {
		op[i] = op_of(key, &chain, 48, true);
		ops[i] = &op[i];
	}
	assert_int_equal(crypto_submit(device, ops, RTE_DIM(ops)), CRYPTO_RING);
	assert_int_equal(crypto_submit(device, ops + CRYPTO_RING, 10), 0);
	assert_int_equal(crypto_poll(device, done, 7), 7);
	assert_int_equal(crypto_submit(device, ops + CRYPTO_RING, 10), 7);
	assert_int_equal(crypto_poll(device, done + 7, RTE_DIM(done)), CRYPTO_RING);
	for (uint32_t i = 0; i < CRYPTO_RING + 7; i++)
		assert_ptr_equal(done[i], &op[i]);
	tls_chain_free(&chain);
	crypto_key_destroy(key);
	crypto_device_close(device);
	assert_nothing_is_out();
}

static void
destroyed_key_leaves_no_bytes_behind(void **state)
{
	for (size_t d = 0; d < RTE_DIM(device_names); d++) {
		struct crypto_device *device = open_device(device_names[d]);

		for (int aead = 0; aead < CRYPTO_AEAD_MAX; aead++) {
			uint8_t bytes[CRYPTO_KEY_MAX];
			struct crypto_key *key;
			size_t size = CRYPTO_SLOT_RAW;

			if (d == 0 && aead != CRYPTO_CHACHA20_POLY1305)
				size = CRYPTO_SLOT_GCM;
			fill(bytes, sizeof(bytes), 1);
			key = crypto_key_create(device, aead, bytes);
			memset(key->secret, 0x55, sizeof(key->secret));
			assert_false(all_zero((uint8_t *)key + 64, 16));
			crypto_key_destroy(key);
			/* The first word links the free slots; the memory is the device's. */
			assert_true(all_zero((uint8_t *)key + 8, size - 8));
		}
		crypto_device_close(device);
	}
}

/* AddressSanitizer makes mlock() a call that does nothing. */
#if defined(__SANITIZE_ADDRESS__)
#define LOCKED ""
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOCKED ""
#endif
#endif
#ifndef LOCKED
#define LOCKED " lo"
#endif

/* The kernel says of a mapping "lo" (locked) and "dd" (not in core dumps), proc(5). */
static bool
mapping_has_flags(const void *address, const char *one, const char *other)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool inside = false, found = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		uintptr_t from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, one) != NULL && strstr(line, other) != NULL;
	}
	fclose(f);
	return found;
}

static void
keys_lie_in_locked_memory_that_is_not_dumped(void **state)
{
	struct crypto_device *device = open_device("ipsec-mb");
	static const uint8_t zeros[32];

	for (int aead = 0; aead < CRYPTO_AEAD_MAX; aead++) {
		struct crypto_key *key = crypto_key_create(device, aead, zeros);

		assert_true(mapping_has_flags(key, LOCKED, " dd"));
		crypto_key_destroy(key);
	}
	crypto_device_close(device);
}

static void
key_memory_is_used_again(void **state)
{
	struct crypto_device *device = open_device("ipsec-mb");
	static const uint8_t zeros[32];
	static struct crypto_key *keys[5000]; /* more than one chunk */

	for (int round = 0; round < 3; round++) {
		void *chunks;

		for (size_t i = 0; i < RTE_DIM(keys); i++) {
			keys[i] = crypto_key_create(device, CRYPTO_AES_128_GCM, zeros);
			assert_non_null(keys[i]);
			assert_int_equal((uintptr_t)keys[i] % 64, 0);
		}
		assert_int_equal(device->gcm_keys.in_use, RTE_DIM(keys));
		chunks = device->gcm_keys.chunks;
		for (size_t i = 0; i < RTE_DIM(keys); i++)
			crypto_key_destroy(keys[i]);
		assert_int_equal(device->gcm_keys.in_use, 0);
		assert_ptr_equal(device->gcm_keys.chunks, chunks);
	}
	crypto_device_close(device);
}

static void
unknown_device_is_refused_with_a_sentence(void **state)
{
	char error[256];

	assert_null(crypto_device_open("crypto_qat0", 0, error, sizeof(error)));
	assert_string_equal(error, "crypto device 'crypto_qat0' is not built in yet; expected "
				   "ipsec-mb or openssl");
}

static void
device_names_say_version_and_instruction_set(void **state)
{
	struct crypto_device *a = open_device(NULL);
	struct crypto_device *b = open_device("openssl");

	assert_non_null(strstr(crypto_device_name(a), "ipsec-mb 1."));
	assert_non_null(strchr(crypto_device_name(a), '('));
	assert_non_null(strstr(crypto_device_name(b), "openssl 3."));
	crypto_device_close(a);
	crypto_device_close(b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers_over_every_split),
		cmocka_unit_test(both_back_ends_agree_whatever_the_buffers),
		cmocka_unit_test(bad_tag_is_told_and_the_text_wiped),
		cmocka_unit_test(changed_additional_data_is_a_bad_tag),
		cmocka_unit_test(chain_too_short_for_text_or_tag_fails),
		cmocka_unit_test(keys_are_kept_apart_in_a_batch),
		cmocka_unit_test(full_ring_takes_no_more_until_polled),
		cmocka_unit_test(destroyed_key_leaves_no_bytes_behind),
		cmocka_unit_test(keys_lie_in_locked_memory_that_is_not_dumped),
		cmocka_unit_test(key_memory_is_used_again),
		cmocka_unit_test(unknown_device_is_refused_with_a_sentence),
		cmocka_unit_test(device_names_say_version_and_instruction_set),
	};

	support_start("crypto");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
