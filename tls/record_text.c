/* SPDX-License-Identifier: Apache-2.0 */
/* Errors and alerts in words. */

#include <stddef.h>

#include <rte_common.h>

#include "tls/record.h"

const char *
tls_record_strerror(int error)
{
	switch (error) {
	case TLS_RECORD_OK:
		return "no error";
	case TLS_RECORD_OVERFLOW:
		return "the peer sent a record that is longer than allowed";
	case TLS_RECORD_BAD_MAC:
		return "the peer sent a record that fails authentication";
	case TLS_RECORD_UNEXPECTED:
		return "the peer sent a record or message that may not come here";
	case TLS_RECORD_BAD_VERSION:
		return "the peer sent a record of another protocol version";
	case TLS_RECORD_DECODE:
		return "the peer sent a malformed alert or handshake message";
	case TLS_RECORD_ALERT:
		return "the peer sent a fatal alert";
	case TLS_RECORD_LIMIT:
		return "sequence numbers are used up, or the peer sends too many records "
		       "without data";
	case TLS_RECORD_NO_MEMORY:
		return "keys could not be made, or the crypto device failed";
	case TLS_RECORD_CLOSED:
		return "our side of the connection is closed";
	default:
		return "unknown error";
	}
}

/* RFC 8446 section 6 and appendix B.2, with those of RFC 5246 that are gone since. */
static const struct {
	uint8_t alert;
	const char *name;
} alert_names[] = {
	{0, "close_notify"},
	{10, "unexpected_message"},
	{20, "bad_record_mac"},
	{21, "decryption_failed"},
	{22, "record_overflow"},
	{30, "decompression_failure"},
	{40, "handshake_failure"},
	{41, "no_certificate"},
	{42, "bad_certificate"},
	{43, "unsupported_certificate"},
	{44, "certificate_revoked"},
	{45, "certificate_expired"},
	{46, "certificate_unknown"},
	{47, "illegal_parameter"},
	{48, "unknown_ca"},
	{49, "access_denied"},
	{50, "decode_error"},
	{51, "decrypt_error"},
	{60, "export_restriction"},
	{70, "protocol_version"},
	{71, "insufficient_security"},
	{80, "internal_error"},
	{86, "inappropriate_fallback"},
	{90, "user_canceled"},
	{100, "no_renegotiation"},
	{109, "missing_extension"},
	{110, "unsupported_extension"},
	{111, "certificate_unobtainable"},
	{112, "unrecognized_name"},
	{113, "bad_certificate_status_response"},
	{114, "bad_certificate_hash_value"},
	{115, "unknown_psk_identity"},
	{116, "certificate_required"},
	{120, "no_application_protocol"},
};

const char *
tls_alert_name(uint8_t alert)
{
	for (size_t i = 0; i < RTE_DIM(alert_names); i++)
		if (alert_names[i].alert == alert)
			return alert_names[i].name;
	return "unknown_alert";
}
