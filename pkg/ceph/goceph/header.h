// The C side of header.cc, which the OSDs are asked through.

#ifndef CEPHFERRY_HEADER_H
#define CEPHFERRY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include <rados/librados.h>

#ifdef __cplusplus
extern "C" {
#endif

// cephferry_watcher is a client that watches an object.
typedef struct {
	char addr[256];
	int64_t client;
	uint64_t cookie;
} cephferry_watcher;

// cephferry_header is what one read operation finds in the header of an image. The caller
// frees watchers.
typedef struct {
	uint64_t size, features;
	cephferry_watcher *watchers;
	size_t count;
} cephferry_header;

// cephferry_read_header returns zero, or a negative errno and then nothing to free.
int cephferry_read_header(rados_ioctx_t io, const char *object, cephferry_header *found);

#ifdef __cplusplus
}
#endif

#endif
