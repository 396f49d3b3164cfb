/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_load PORT SECONDS WINDOW: one MQTT 3.1.1 client that publishes 32 bytes
 * with QoS 1 and keeps WINDOW of them unacknowledged. Prints the rate.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 2 + 2 + 4 + 2 + 32, ACK = 4 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void all(int fd, const unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k <= 0) {
			perror("write");
			exit(1);
		}
		p += k;
		n -= (size_t)k;
	}
}

static int dial(int port)
{
	static const unsigned char hello[] = {0x10, 16,	 0,   4,   'M', 'Q',
					      'T',  'T', 4,   2,   0,	60,
					      0,    4,	 'l', 'o', 'a', 'd'};
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons((unsigned short)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	unsigned char ack[4];

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("connect");
		exit(1);
	}
	all(fd, hello, sizeof(hello));
	if (read(fd, ack, 4) != 4 || ack[3] != 0) {
		fprintf(stderr, "refused\n");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static unsigned char out[PACKET * 1024], in[ACK * 1024];
	unsigned window = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
	size_t done = 0, part = 0, send = window;
	unsigned short id = 0;
	double from, to, until;
	int fd;

	if (window == 0 || window > 1024) {
		fprintf(stderr, "mqtt_load PORT SECONDS WINDOW\n");
		return 2;
	}
	fd = dial(atoi(argv[1]));
	from = now();
	until = from + atof(argv[2]);
	do {
		ssize_t k;

		for (size_t i = 0; i < send; i++) {
			unsigned char *p = out + i * PACKET;

			id = id == 65535 ? 1 : (unsigned short)(id + 1);
			memcpy(p, "\x32\x28\0\4room", 8);
			p[8] = (unsigned char)(id >> 8);
			p[9] = (unsigned char)id;
			memset(p + 10, 'x', 32);
		}
		all(fd, out, send * PACKET);
		k = read(fd, in + part, sizeof(in) - part);
		if (k <= 0) {
			fprintf(stderr, "closed\n");
			return 1;
		}
		part += (size_t)k;
		send = part / ACK;
		done += send;
		part %= ACK;
		to = now();
	} while (to < until);
	printf("%.0f\n", (double)done / (to - from));
	return 0;
}
