/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

/* --- what is sent ------------------------------------------------------------------------ */

static uint8_t
payload_byte(uint64_t key, uint64_t offset)
{
	return (uint8_t)(rng_mix(key + offset / 8) >> offset % 8 * 8);
}

static void
payload_fill(uint64_t key, uint64_t offset, uint8_t *out, size_t len)
{
	size_t i = 0;

	for (; i < len && (offset + i) % 8 != 0; i++)
		out[i] = payload_byte(key, offset + i);
	for (; i + 8 <= len; i += 8) {
		uint64_t word = rng_mix(key + (offset + i) / 8);

		memcpy(out + i, &word, 8);
	}
	for (; i < len; i++)
		out[i] = payload_byte(key, offset + i);
}

static bool
payload_right(uint64_t key, uint64_t offset, const uint8_t *bytes, size_t len)
{
	uint8_t wanted[256];

	while (len > 0) {
		size_t n = len < sizeof(wanted) ? len : sizeof(wanted);

		payload_fill(key, offset, wanted, n);
		if (memcmp(wanted, bytes, n) != 0)
			return false;
		bytes += n;
		offset += n;
		len -= n;
	}
	return true;
}

/* --- a flow -------------------------------------------------------------------------------- */

void
flow_init(struct sim *sim, struct flow *flow, unsigned int index, struct host *client,
	  struct host *server, bool v6)
{
	struct endpoint *ends[] = {&flow->client, &flow->server};

	flow->sim = sim;
	flow->index = index;
	flow->tuple = (struct tcp_tuple){.local = v6 ? client->v6 : client->v4,
					 .remote = v6 ? server->v6 : server->v4,
					 .remote_port = (uint16_t)(sim->first_port + index)};
	flow->client.host = client;
	flow->server.host = server;
	flow->client.opens = true;
	for (unsigned int i = 0; i < 2; i++) {
		ends[i]->flow = flow;
		ends[i]->config.user = ends[i];
		ends[i]->config.path = index * 2 + i + 1;
		ends[i]->key_out = rng_next(&sim->rng);
		ends[!i]->key_in = ends[i]->key_out;
	}
}

bool
flow_over(const struct flow *flow)
{
	return flow->client.done && flow->server.done;
}

struct flow *
flow_by_port(struct sim *sim, uint16_t server_port)
{
	unsigned int i = (unsigned int)server_port - sim->first_port;

	if (server_port < sim->first_port || i >= sim->n_flows)
		return NULL;
	/* Of flows that share a port, one after the other, the one whose turn it is. */
	while (i + 1 < sim->n_flows && sim->flows[i + 1].after == &sim->flows[i] &&
	       flow_over(&sim->flows[i]))
		i++;
	return &sim->flows[i];
}

struct endpoint *
flow_listener(struct host *host, uint16_t port)
{
	struct flow *flow = flow_by_port(host->sim, port);

	if (flow == NULL || flow->server.host != host || flow->server.opens)
		return NULL;
	/* An old duplicate of a SYN may come when its connection is long over. */
	if (flow->server.conn != NULL || flow->server.connected)
		return NULL;
	return &flow->server;
}

/* --- an endpoint ------------------------------------------------------------------------------ */

static void
finish(struct endpoint *ep)
{
	struct sim *sim = ep->flow->sim;

	ep->done = true;
	ep->conn = NULL;
	ep->resume_at = 0;
	sim_trace(sim, "h%u flow %u: done, sent %lu, received %lu, error %d", ep->host->index,
		  ep->flow->index, ep->queued, ep->received, ep->error);
	/* A server without a connection waits no more once its client is gone. */
	if (ep == &ep->flow->client && ep->flow->server.conn == NULL)
		ep->flow->server.done = true;
	for (unsigned int i = 0; i < sim->n_hosts && flow_over(ep->flow); i++)
		host_wake(sim->hosts[i], sim->now);
}

static void
release(struct endpoint *ep)
{
	tcp_set_user(ep->conn, NULL);
	tcp_release(ep->conn, ep->flow->sim->now);
	finish(ep);
}

static void
set_room(struct endpoint *ep, uint32_t room)
{
	struct tcp_info info;

	tcp_conn_info(ep->conn, &info);
	if (info.bytes_received + room > ep->room_edge)
		ep->room_edge = info.bytes_received + room;
	tcp_set_room(ep->conn, room, ep->flow->sim->now);
}

static void
begin(struct endpoint *ep, struct tcp_conn *conn)
{
	ep->conn = conn;
	ep->started = true;
	ep->room_edge = ep->config.room != 0 ? ep->config.room : 65535;
	if (ep->early_send)
		endpoint_run(ep);
}

void
endpoint_open(struct endpoint *ep)
{
	struct flow *flow = ep->flow;
	struct tcp_tuple tuple = flow->tuple;
	struct tcp_conn *conn = NULL;

	if (ep == &flow->server) {
		tuple = (struct tcp_tuple){.local = flow->tuple.remote,
					   .local_port = flow->tuple.remote_port,
					   .remote = flow->tuple.local,
					   .remote_port = flow->tuple.local_port};
	}
	int rc = tcp_connect(ep->host->stack, &tuple, flow->sim->now, &ep->config, &conn);

	if (rc == TCP_OK) {
		begin(ep, conn);
		return;
	}
	ep->started = ep->failed = true;
	ep->error = rc;
	if (!flow->may_fail)
		sim_fail(flow->sim, "flow %u: tcp_connect(): %s", flow->index, tcp_strerror(rc));
	finish(ep);
}

void
endpoint_accepted(struct endpoint *ep, struct tcp_conn *conn)
{
	ep->flow->extra_accepts += ep->started;
	ep->queued = 0;
	ep->shut = ep->done = ep->failed = false;
	begin(ep, conn);
}

/* --- reading ------------------------------------------------------------------------------------
 */

static void
check_received(struct endpoint *ep, struct rte_mbuf *chain)
{
	struct sim *sim = ep->flow->sim;
	uint32_t len = 0;
	uint16_t segs = 0;

	for (struct rte_mbuf *m = chain; m != NULL && !sim->failed; m = m->next) {
		if (!payload_right(ep->key_in, ep->received + len,
				   rte_pktmbuf_mtod(m, const uint8_t *), m->data_len))
			sim_fail(sim, "flow %u: wrong bytes near offset %lu", ep->flow->index,
				 ep->received + len);
		len += m->data_len;
		segs++;
	}
	if (len != chain->pkt_len || segs != chain->nb_segs || len == 0)
		sim_fail(sim,
			 "flow %u: tcp_receive() gave pkt_len %u nb_segs %u for %u bytes in %u",
			 ep->flow->index, chain->pkt_len, chain->nb_segs, len, segs);
	ep->received += len;
	sim->bytes += len;
	if (ep->received > ep->expects)
		sim_fail(sim, "flow %u: more bytes than were sent", ep->flow->index);
	rte_pktmbuf_free(chain);
}

static uint32_t
usual_room(const struct endpoint *ep)
{
	return ep->config.room != 0 ? ep->config.room : 65535;
}

/* Time for the reader to stop for a while? */
static bool
begins_pause(struct endpoint *ep)
{
	if (ep->pauses == 0 || ep->received - ep->paused_at < ep->pause_every)
		return false;
	ep->pauses--;
	ep->paused_at = ep->received;
	ep->resume_at = ep->flow->sim->now + ep->pause_us;
	host_wake(ep->host, ep->resume_at);
	/* Half of the pauses also say so: the window that was promised stays, no more. */
	if (ep->pauses % 2 == 0)
		set_room(ep, 0);
	sim_trace(ep->flow->sim, "h%u flow %u: reader pauses at %lu", ep->host->index,
		  ep->flow->index, ep->received);
	return true;
}

static void
read_some(struct endpoint *ep)
{
	struct sim *sim = ep->flow->sim;
	uint32_t max = ep->trickle_us != 0 ? (uint32_t)rng_between(&sim->rng, 1, 3000) : 100000;
	struct rte_mbuf *chain;

	if (ep->resume_at > sim->now)
		return;
	ep->resume_at = 0;
	while (!sim->failed && !begins_pause(ep)) {
		chain = tcp_receive(ep->conn, max);
		if (chain == NULL)
			break;
		check_received(ep, chain);
		if (ep->trickle_us != 0) {
			ep->resume_at = sim->now + ep->trickle_us;
			host_wake(ep->host, ep->resume_at);
			break;
		}
	}
	if (ep->resume_at == 0) {
		set_room(ep, usual_room(ep));
	} else if (ep->trickle_us != 0) {
		struct tcp_info info;

		/* What lies unread counts against the room, as it does in a real gateway. */
		tcp_conn_info(ep->conn, &info);
		uint64_t held = info.bytes_received - ep->received;

		set_room(ep, held < usual_room(ep) ? usual_room(ep) - (uint32_t)held : 0);
	}
}

/* --- writing -------------------------------------------------------------------------------------
 */

static struct rte_mbuf *
make_chain(struct endpoint *ep, uint32_t len)
{
	struct sim *sim = ep->flow->sim;
	struct rte_mbuf *head = NULL, *last = NULL;

	while (len > 0) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(sim->pools->payload);

		if (m == NULL)
			break;
		uint16_t n = (uint16_t)RTE_MIN(len, (uint32_t)rng_between(&sim->rng, 1, 2048));

		payload_fill(ep->key_out, ep->queued + (head ? head->pkt_len : 0),
			     rte_pktmbuf_mtod(m, uint8_t *), n);
		m->data_len = n;
		m->pkt_len = n;
		if (head == NULL) {
			head = m;
		} else {
			last->next = m;
			head->nb_segs++;
			head->pkt_len += n;
		}
		last = m;
		len -= n;
	}
	return head;
}

static void
write_some(struct endpoint *ep)
{
	struct sim *sim = ep->flow->sim;

	while (ep->queued < ep->to_send && tcp_unacked(ep->conn) < ep->send_buffer) {
		uint64_t len = rng_between(&sim->rng, 1, ep->write_max);
		struct rte_mbuf *chain =
			make_chain(ep, (uint32_t)RTE_MIN(len, ep->to_send - ep->queued));

		if (chain == NULL) {
			host_wake(ep->host, sim->now + 1000);
			ep->resume_at = ep->resume_at ? ep->resume_at : sim->now + 1000;
			return;
		}
		uint32_t n = chain->pkt_len, before = tcp_unacked(ep->conn);
		int rc = tcp_send(ep->conn, chain);

		if (rc != TCP_OK) {
			sim_fail(sim, "flow %u: tcp_send(): %s", ep->flow->index, tcp_strerror(rc));
			rte_pktmbuf_free(chain);
			return;
		}
		ep->queued += n;
		if (tcp_unacked(ep->conn) != before + n)
			sim_fail(sim, "flow %u: tcp_unacked() did not rise by what was queued",
				 ep->flow->index);
	}
}

static void
maybe_shut(struct endpoint *ep)
{
	if (ep->shut || ep->queued < ep->to_send || (ep->close == CLOSE_AFTER_EOF && !ep->eof))
		return;
	ep->shut = true;
	tcp_shutdown(ep->conn, ep->flow->sim->now);
	/* Idempotent, says the header. */
	tcp_shutdown(ep->conn, ep->flow->sim->now);
}

/* --- ends
 * ------------------------------------------------------------------------------------------ */

/* The planned break of the connection; true: it is over for this side. */
static bool
maybe_abort(struct endpoint *ep)
{
	struct sim *sim = ep->flow->sim;
	struct tcp_info info;

	tcp_conn_info(ep->conn, &info);
	if (ep->abort == ABORT_NEVER)
		return false;
	if (ep->abort == ABORT_UNREAD) {
		/* The reader stops there; wait until something lies unread. */
		if (ep->received < ep->abort_at ||
		    (info.bytes_received == ep->received && !ep->eof))
			return false;
	} else if (ep->queued + ep->received < ep->abort_at) {
		return false;
	}
	sim_trace(sim, "h%u flow %u: breaks off (%d)", ep->host->index, ep->flow->index, ep->abort);
	if (ep->abort == ABORT_CALL) {
		tcp_abort(ep->conn, sim->now);
		if (rng_chance(&sim->rng, 500000))
			tcp_abort(ep->conn, sim->now);
	}
	ep->error = TCP_E_STATE;
	release(ep);
	return true;
}

static void
fail(struct endpoint *ep)
{
	struct flow *flow = ep->flow;

	ep->failed = true;
	ep->error = tcp_conn_error(ep->conn);
	if (ep->error == TCP_OK)
		sim_fail(flow->sim, "flow %u: TCP_EV_FAILED without an error", flow->index);
	struct endpoint *peer = ep == &flow->client ? &flow->server : &flow->client;
	bool late = flow->late_reset_ok && ep->error == TCP_E_RESET && ep->eof && ep->shut &&
		    peer->received == peer->expects;
	/* Half-open servers of duplicated SYNs die without anybody's loss. */
	bool ghost = !ep->opens && !ep->connected;

	if (!flow->may_fail && !late && !ghost)
		sim_fail(flow->sim, "flow %u: the %s failed: %s (received %lu of %lu)", flow->index,
			 ep == &flow->client ? "client" : "server", tcp_strerror(ep->error),
			 ep->received, ep->expects);
	struct rte_mbuf *rest = tcp_receive(ep->conn, UINT32_MAX);

	if (rest != NULL)
		check_received(ep, rest);
	release(ep);
	if (ghost && !flow->client.done) {
		/* The listener is still there for the next SYN. */
		ep->done = ep->failed = false;
	}
}

/* Nothing more to do for this side? */
static void
maybe_release(struct endpoint *ep)
{
	bool all_read = ep->eof && ep->received == ep->expects;

	/* A peer that broke off in order has sent less than it meant to. */
	if (ep->closed && ep->flow->may_fail && ep->resume_at == 0) {
		release(ep);
		return;
	}
	if (!all_read || ep->queued < ep->to_send)
		return;
	if (ep->closed || (ep->release_early && ep->connected))
		release(ep);
}

void
endpoint_run(struct endpoint *ep)
{
	struct sim *sim = ep->flow->sim;

	if (ep->done || ep->conn == NULL || sim->failed)
		return;
	if (maybe_abort(ep))
		return;
	if (ep->abort != ABORT_UNREAD || ep->received < ep->abort_at)
		read_some(ep);
	if (!sim->failed && !ep->closed && !ep->shut && (ep->connected || ep->early_send))
		write_some(ep);
	if (!sim->failed && !ep->closed && (ep->connected || ep->early_send))
		maybe_shut(ep);
	if (!sim->failed)
		maybe_release(ep);
}

static void
check_info(struct endpoint *ep)
{
	struct sim *sim = ep->flow->sim;
	struct tcp_info info;

	tcp_conn_info(ep->conn, &info);
	/* The window field counts in units, and the edge never moves back by a part of one. */
	if (info.bytes_received > ep->room_edge + (4u << info.rcv_wscale))
		sim_fail(sim, "flow %u: %lu bytes taken in, but room was given for %lu",
			 ep->flow->index, info.bytes_received, ep->room_edge);
	if (info.bytes_received < ep->received)
		sim_fail(sim, "flow %u: bytes_received %lu is less than what came out, %lu",
			 ep->flow->index, info.bytes_received, ep->received);
	if (info.bytes_acked + tcp_unacked(ep->conn) != ep->queued)
		sim_fail(sim, "flow %u: bytes_acked %lu + unacked %u is not the %lu queued",
			 ep->flow->index, info.bytes_acked, tcp_unacked(ep->conn), ep->queued);
	if (info.snd_mss == 0 || info.snd_cwnd < info.snd_mss || info.rto_us == 0)
		sim_fail(sim, "flow %u: mss %u cwnd %u rto %u", ep->flow->index, info.snd_mss,
			 info.snd_cwnd, info.rto_us);
}

void
endpoint_event(struct endpoint *ep, uint32_t bits)
{
	struct sim *sim = ep->flow->sim;

	if (ep->failed || ep->closed)
		sim_fail(sim, "flow %u: event 0x%x after the last one", ep->flow->index, bits);
	if ((bits & TCP_EV_CONNECTED) && ep->connected)
		sim_fail(sim, "flow %u: connected twice", ep->flow->index);
	if (!ep->connected && (bits & (TCP_EV_READABLE | TCP_EV_EOF)) &&
	    !(bits & (TCP_EV_CONNECTED | TCP_EV_FAILED)))
		sim_fail(sim, "flow %u: event 0x%x before TCP_EV_CONNECTED", ep->flow->index, bits);
	ep->connected |= (bits & TCP_EV_CONNECTED) != 0;
	ep->eof |= (bits & TCP_EV_EOF) != 0;
	if ((bits & TCP_EV_EOF) && ep->flow->finish_by != 0 && sim->now > ep->flow->finish_by)
		sim_fail(sim, "flow %u: %.3f s later than it should", ep->flow->index,
			 (double)(sim->now - ep->flow->finish_by) / 1e6);
	if (bits & TCP_EV_FAILED) {
		fail(ep);
		return;
	}
	check_info(ep);
	if (bits & TCP_EV_CLOSED) {
		ep->closed = true;
		if (!ep->eof || !ep->shut)
			sim_fail(sim, "flow %u: TCP_EV_CLOSED with a direction open",
				 ep->flow->index);
	}
	endpoint_run(ep);
}

void
endpoint_check(struct endpoint *ep)
{
	struct sim *sim = ep->flow->sim;

	if (ep->flow->may_fail || sim->failed)
		return;
	if (ep->received != ep->expects)
		sim_fail(sim, "flow %u: %lu bytes arrived of %lu", ep->flow->index, ep->received,
			 ep->expects);
	if (!ep->eof)
		sim_fail(sim, "flow %u: no end of the stream", ep->flow->index);
}
