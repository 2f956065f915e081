/* SPDX-License-Identifier: Apache-2.0 */
/* Causes, and how OpenSSL's errors and bytes that are no TLS become one. */

#include <string.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "tls/handshake_internal.h"
#include "tls/text.h"

static const struct {
	const char *name;
	const char *text;
} causes[TLS_CAUSE_MAX] = {
#define X(id, name, text) [TLS_CAUSE_##id] = {name, text},
	TLS_CAUSES(X)
#undef X
};

const char *
tls_cause_name(enum tls_cause cause)
{
	return (unsigned int)cause < TLS_CAUSE_MAX ? causes[cause].name : "unknown";
}

const char *
tls_cause_text(enum tls_cause cause)
{
	return (unsigned int)cause < TLS_CAUSE_MAX ? causes[cause].text : "unknown cause";
}

void
tls_hs_set_cause(struct tls_handshake *hs, enum tls_cause cause, const char *detail)
{
	if (hs->cause != TLS_CAUSE_OK)
		return;
	hs->cause = (uint8_t)cause;
	if (detail != NULL)
		snprintf(hs->peer.detail, sizeof(hs->peer.detail), "%s", detail);
	else if (hs->peer.detail[0] == '\0')
		snprintf(hs->peer.detail, sizeof(hs->peer.detail), "%s", tls_cause_text(cause));
}

/* --- OpenSSL's error queue ------------------------------------------------------------- */

/* The first error of the TLS library, which is the nearest to what went wrong; else the
 * first one of any. */
static unsigned long
root_error(void)
{
	unsigned long first = 0, error;

	while ((error = ERR_get_error()) != 0) {
		if (ERR_GET_LIB(error) == ERR_LIB_SSL)
			return error;
		if (first == 0)
			first = error;
	}
	return first;
}

static enum tls_cause
cause_of_reason(int reason)
{
	switch (reason) {
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return TLS_CAUSE_NO_CLIENT_CERTIFICATE;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_WRONG_SSL_VERSION:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_UNSUPPORTED_SSL_VERSION:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_INAPPROPRIATE_FALLBACK:
		return TLS_CAUSE_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_CIPHERS_AVAILABLE:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SUITABLE_GROUPS:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
	case SSL_R_WRONG_CIPHER_RETURNED:
	case SSL_R_UNKNOWN_CIPHER_RETURNED:
		return TLS_CAUSE_NO_SHARED_CIPHER;
	case SSL_R_EXCESSIVE_MESSAGE_SIZE:
		return TLS_CAUSE_TOO_LARGE;
	case SSL_R_BAD_SIGNATURE:
		return TLS_CAUSE_CERTIFICATE_INVALID;
	default:
		return TLS_CAUSE_PROTOCOL;
	}
}

static void
explain_alert(struct tls_handshake *hs)
{
	char detail[96];

	snprintf(detail, sizeof(detail), "the peer sent the alert %s (%u)",
		 tls_alert_name(hs->peer.alert), hs->peer.alert);
	tls_hs_set_cause(hs, TLS_CAUSE_ALERT_RECEIVED, detail);
}

void
tls_hs_explain(struct tls_handshake *hs)
{
	unsigned long error = root_error();
	int reason = ERR_GET_REASON(error);
	const char *text = ERR_reason_error_string(error);

	ERR_clear_error();
	if (hs->out_of_buffers)
		tls_hs_set_cause(hs, TLS_CAUSE_INTERNAL, "no buffers to send with");
	else if (hs->alert_seen)
		explain_alert(hs);
	else if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason != ERR_R_INTERNAL_ERROR &&
		 reason != ERR_R_MALLOC_FAILURE)
		tls_hs_set_cause(hs, cause_of_reason(reason), text);
	else
		tls_hs_set_cause(hs, error == 0 ? TLS_CAUSE_PROTOCOL : TLS_CAUSE_INTERNAL, text);
}

/* --- bytes that are no record ---------------------------------------------------------- */

static bool
is_http(const uint8_t *bytes, uint32_t have)
{
	static const char starts[][TLS_RECORD_HEADER + 1] = {
		"GET /", "POST ", "PUT /", "HEAD ", "DELET", "OPTIO", "PATCH",
		"CONNE", "TRACE", "PRI *", "HTTP/",
	};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (have >= 3 && memcmp(starts[i], bytes, have) == 0)
			return true;
	return false;
}

static void
not_tls(struct tls_handshake *hs, const uint8_t *header, uint32_t have, uint8_t *alert)
{
	char detail[96];
	struct tls_text text = tls_text_begin(detail, sizeof(detail));
	bool http = is_http(header, have);

	tls_text_add(&text, http ? "the peer speaks plaintext HTTP, not TLS: \""
				 : "the peer does not speak TLS: \"");
	tls_text_add_escaped(&text, header, have);
	tls_text_add(&text, "\"...");
	tls_hs_set_cause(hs, TLS_CAUSE_PROTOCOL, detail);
	/* Nobody there would understand an alert. */
	*alert = ALERT_NONE;
}

bool
tls_hs_check_header(struct tls_handshake *hs, const uint8_t *header, uint32_t have, uint8_t *alert)
{
	bool first = hs->in_fed == 0;

	if (have >= 1 && (header[0] < RECORD_CCS || header[0] > RECORD_APPLICATION)) {
		if (first) {
			not_tls(hs, header, have, alert);
			return false;
		}
		*alert = ALERT_UNEXPECTED_MESSAGE;
		tls_hs_set_cause(hs, TLS_CAUSE_PROTOCOL, "a record of an unknown type");
		return false;
	}
	if (have >= 2 && header[1] != 3) {
		*alert = ALERT_PROTOCOL_VERSION;
		tls_hs_set_cause(hs, TLS_CAUSE_PROTOCOL, "a record of an unknown version");
		return false;
	}
	if (have >= TLS_RECORD_HEADER &&
	    (header[3] << 8 | header[4]) > TLS_RECORD_MAX_CIPHERTEXT) {
		*alert = ALERT_RECORD_OVERFLOW;
		tls_hs_set_cause(hs, TLS_CAUSE_PROTOCOL, "a record longer than TLS allows");
		return false;
	}
	return true;
}
