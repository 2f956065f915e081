/* SPDX-License-Identifier: Apache-2.0 */
/* Alerts and the few handshake messages that may come after the handshake. */

#include <string.h>

#include "tls/record_internal.h"

/* RFC 8446 section 4 and appendix B.3, RFC 5246 section 7.4. */
enum handshake_type {
	HELLO_REQUEST = 0,
	CLIENT_HELLO = 1,
	NEW_SESSION_TICKET = 4,
	KEY_UPDATE = 24,
};

/* The longest NewSessionTicket that its fields allow, RFC 8446 section 4.6.1. */
#define TICKET_MAX (4 + 4 + 1 + 255 + 2 + 65535 + 2 + 65534)
#define CLIENT_HELLO_LIMIT (64 * 1024)

#define LEVEL_WARNING 1
#define LEVEL_FATAL 2

bool
record_message_begun(const struct tls_records *records)
{
	return records->message.have > 0;
}

/* RFC 8446 section 6: all but two alerts end the connection, whatever level they claim. */
static bool
alert_is_fatal(const struct tls_records *records, uint8_t level, uint8_t description)
{
	if (records->version == TLS_1_3)
		return description != ALERT_USER_CANCELED;
	return level == LEVEL_FATAL;
}

static enum tls_record_error
take_alert(struct tls_records *records, const struct tls_chain *chain, uint32_t length)
{
	uint8_t alert[2];

	if (length != sizeof(alert))
		return TLS_RECORD_DECODE;
	tls_chain_peek(chain, alert, sizeof(alert));
	if (alert[0] != LEVEL_WARNING && alert[0] != LEVEL_FATAL)
		return TLS_RECORD_DECODE;
	records->batch->counters.alerts_in++;
	records->alert_received = alert[1];
	if (alert[1] == ALERT_CLOSE_NOTIFY) {
		records->close_received = true;
		return TLS_RECORD_OK;
	}
	return alert_is_fatal(records, alert[0], alert[1]) ? TLS_RECORD_ALERT : TLS_RECORD_OK;
}

/* The header of a message is complete: is it one that may come? */
static enum tls_record_error
begin_message_1_3(const struct tls_records *records, uint8_t type, uint32_t length)
{
	switch (type) {
	case KEY_UPDATE:
		return length == 1 ? TLS_RECORD_OK : TLS_RECORD_DECODE;
	case NEW_SESSION_TICKET:
		if (records->side == TLS_SIDE_SERVER)
			return TLS_RECORD_UNEXPECTED;
		return length <= TICKET_MAX ? TLS_RECORD_OK : TLS_RECORD_DECODE;
	default:
		return TLS_RECORD_UNEXPECTED;
	}
}

static enum tls_record_error
begin_message_1_2(const struct tls_records *records, uint8_t type, uint32_t length)
{
	switch (type) {
	case HELLO_REQUEST:
		if (records->side == TLS_SIDE_SERVER)
			return TLS_RECORD_UNEXPECTED;
		return length == 0 ? TLS_RECORD_OK : TLS_RECORD_DECODE;
	case CLIENT_HELLO:
		if (records->side == TLS_SIDE_CLIENT)
			return TLS_RECORD_UNEXPECTED;
		return length <= CLIENT_HELLO_LIMIT ? TLS_RECORD_OK : TLS_RECORD_DECODE;
	default:
		return TLS_RECORD_UNEXPECTED;
	}
}

/* RFC 8446 section 4.6.3. The next record has the next key. One answer stands for every
 * request that came before it left. */
static enum tls_record_error
take_key_update(struct tls_records *records, uint8_t request, bool last_in_record)
{
	if (request > 1)
		return TLS_RECORD_DECODE;
	/* Section 5.1: messages do not span key changes. */
	if (!last_in_record)
		return TLS_RECORD_UNEXPECTED;
	records->batch->counters.key_updates_in++;
	records->key_update_asked = false;
	if (request == 1)
		records->key_update_owed = true;
	return record_rekey(records, &records->rx);
}

static enum tls_record_error
end_message(struct tls_records *records, bool last_in_record)
{
	struct message message = records->message;

	records->message = (struct message){0};
	if (records->version == TLS_1_3) {
		if (message.header[0] == KEY_UPDATE)
			return take_key_update(records, message.body0, last_in_record);
		return TLS_RECORD_OK;
	}
	/* RFC 5246 section 7.2.2: a warning, and once is enough. */
	if (!records->declined && records->alert_owed == ALERT_NONE) {
		records->declined = true;
		records->alert_owed = ALERT_NO_RENEGOTIATION;
	}
	return TLS_RECORD_OK;
}

static enum tls_record_error
begin_message(struct tls_records *records)
{
	struct message *message = &records->message;
	uint8_t type = message->header[0];

	message->left =
		(uint32_t)message->header[1] << 16 | message->header[2] << 8 | message->header[3];
	if (records->version == TLS_1_3)
		return begin_message_1_3(records, type, message->left);
	return begin_message_1_2(records, type, message->left);
}

/* Takes bytes of the message up to its end and returns how many. */
static uint32_t
take_bytes(struct message *message, const uint8_t *p, uint32_t n)
{
	if (message->have < sizeof(message->header)) {
		n = RTE_MIN(n, (uint32_t)sizeof(message->header) - message->have);
		memcpy(message->header + message->have, p, n);
		message->have += n;
		return n;
	}
	n = RTE_MIN(n, message->left);
	if (n > 0)
		message->body0 = p[0];
	message->left -= n;
	return n;
}

/* `rest`: bytes of the record behind this piece. */
static enum tls_record_error
take_messages(struct tls_records *records, const uint8_t *p, uint32_t n, uint32_t rest)
{
	struct message *message = &records->message;
	enum tls_record_error error = TLS_RECORD_OK;

	while (n > 0 && error == TLS_RECORD_OK) {
		bool in_header = message->have < sizeof(message->header);
		uint32_t taken = take_bytes(message, p, n);

		p += taken;
		n -= taken;
		if (message->have < sizeof(message->header))
			break;
		if (in_header)
			error = begin_message(records);
		if (error == TLS_RECORD_OK && message->left == 0)
			error = end_message(records, n + rest == 0);
	}
	return error;
}

static enum tls_record_error
take_handshake(struct tls_records *records, const struct tls_chain *chain, uint32_t length)
{
	struct crypto_cursor c = crypto_cursor_at(chain->head, 0);
	enum tls_record_error error = TLS_RECORD_OK;
	uint32_t want = length;
	uint8_t *piece;
	uint32_t n;

	/* RFC 8446 section 5.1: no fragments of length zero. */
	if (length == 0)
		return TLS_RECORD_UNEXPECTED;
	while (error == TLS_RECORD_OK && (n = crypto_cursor_next(&c, &want, &piece)) > 0)
		error = take_messages(records, piece, n, want);
	return error;
}

enum tls_record_error
record_control(struct tls_records *records, uint8_t type, const struct tls_chain *chain,
	       uint32_t length)
{
	if (type == RECORD_HANDSHAKE)
		return take_handshake(records, chain, length);
	if (records->version == TLS_1_3 && record_message_begun(records))
		return TLS_RECORD_UNEXPECTED;
	if (type == RECORD_ALERT)
		return take_alert(records, chain, length);
	return TLS_RECORD_UNEXPECTED;
}
