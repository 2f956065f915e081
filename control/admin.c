/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/policy.h"

#define ADMIN_BACKLOG 16
#define ADMIN_CONNECTIONS 32
#define ADMIN_TIMEOUT_S 10
#define ADMIN_PATH sizeof(((struct sockaddr_un *)0)->sun_path)

struct policy_admin {
	struct MHD_Daemon *daemon;
	policy_admin_get get;
	void *ctx;
	char path[ADMIN_PATH];
};

static enum MHD_Result
respond(struct MHD_Connection *connection, unsigned int status, const char *content_type,
	const char *text, char *owned)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (owned != NULL)
		response = MHD_create_response_from_buffer(strlen(owned), owned, MHD_RESPMEM_MUST_FREE);
	else
		response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
							   MHD_RESPMEM_PERSISTENT);
	if (response == NULL) {
		free(owned);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
answer(void *ctx, struct MHD_Connection *connection, const char *url, const char *method,
       const char *version, const char *upload, size_t *upload_size, void **state)
{
	struct policy_admin *admin = ctx;
	const char *content_type = "application/json";
	unsigned int status = MHD_HTTP_OK;
	char *body;

	(void)version;
	(void)upload;
	(void)state;
	if (*upload_size != 0) { /* a body is read and thrown away before the answer */
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0)
		return respond(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
			       "only GET is answered here\n", NULL);
	body = admin->get(admin->ctx, url, &status, &content_type);
	if (body == NULL)
		return respond(connection, MHD_HTTP_NOT_FOUND, "text/plain", "no such page\n", NULL);
	return respond(connection, status, content_type, NULL, body);
}

/* True when a process accepts connections at the path. */
static bool
is_served(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool served;

	if (fd < 0)
		return false;
	served = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
	close(fd);
	return served;
}

static int
fail(int fd, char *error, size_t error_len, const char *path, const char *what)
{
	snprintf(error, error_len, "admin socket %s: %s", path, what);
	if (fd >= 0)
		close(fd);
	return -1;
}

static int
listen_on(const char path[ADMIN_PATH], char *error, size_t error_len)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;

	memcpy(address.sun_path, path, sizeof(address.sun_path));
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return fail(-1, error, error_len, path, "exists and is not a socket");
		if (is_served(&address))
			return fail(-1, error, error_len, path, "another process listens on it");
		unlink(path);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return fail(fd, error, error_len, path, strerror(errno));
	if (chmod(path, 0600) != 0 || listen(fd, ADMIN_BACKLOG) != 0)
		return fail(fd, error, error_len, path, strerror(errno));
	return fd;
}

struct policy_admin *
policy_admin_start(const char *path, policy_admin_get get, void *ctx, char *error,
		   size_t error_len)
{
	struct policy_admin *admin = calloc(1, sizeof(*admin));
	int fd;

	if (admin == NULL) {
		snprintf(error, error_len, "admin socket %s: out of memory", path);
		return NULL;
	}
	if (strlen(path) >= sizeof(admin->path)) {
		snprintf(error, error_len, "admin socket %s: the path is longer than %zu bytes", path,
			 sizeof(admin->path) - 1);
		free(admin);
		return NULL;
	}
	strcpy(admin->path, path);
	fd = listen_on(admin->path, error, error_len);
	if (fd < 0) {
		free(admin);
		return NULL;
	}
	admin->get = get;
	admin->ctx = ctx;
	admin->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL, answer, admin,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, ADMIN_CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, ADMIN_TIMEOUT_S, MHD_OPTION_END);
	if (admin->daemon == NULL) {
		fail(fd, error, error_len, admin->path, "the server could not be started");
		unlink(admin->path);
		free(admin);
		return NULL;
	}
	return admin;
}

void
policy_admin_stop(struct policy_admin *admin)
{
	if (admin == NULL)
		return;
	MHD_stop_daemon(admin->daemon);
	unlink(admin->path);
	free(admin);
}
