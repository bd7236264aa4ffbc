//go:build cgo && (pacific || quincy || reef || squid || tentacle)

// Only librados's C++ API lists the watchers of an object. librbd's C API lists those of an
// image that it has open, which takes milliseconds and a MiB.

#include "header.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <list>
#include <new>

#include <rados/librados.hpp>

namespace {

// number reads a little-endian integer of eight bytes from an answer.
bool number(librados::bufferlist &answer, unsigned offset, uint64_t *value)
{
	unsigned char bytes[8];
	if (answer.length() < offset + sizeof bytes)
		return false;
	std::memcpy(bytes, answer.c_str() + offset, sizeof bytes);
	*value = 0;
	for (int i = sizeof bytes - 1; i >= 0; i--)
		*value = *value << 8 | bytes[i];
	return true;
}

// header_read is the operation on an image's header, and what it finds.
struct header_read {
	librados::ObjectReadOperation op;
	librados::bufferlist size, features;
	std::list<obj_watch_t> watchers;
	int listed = 0;

	header_read()
	{
		// CEPH_NOSNAP, the image itself; get_features also wants to know whether for reading.
		static const unsigned char arguments[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
		librados::bufferlist of_size, of_features;
		of_size.append(reinterpret_cast<const char *>(arguments), 8);
		of_features.append(reinterpret_cast<const char *>(arguments), 9);
		op.exec("rbd", "get_size", of_size, &size, nullptr);
		op.exec("rbd", "get_features", of_features, &features, nullptr);
		op.list_watchers(&watchers, &listed);
	}

	// take is the answer to the operation, which had that result.
	int take(int result, cephferry_header *found)
	{
		if (result < 0)
			return result;
		if (listed < 0)
			return listed;
		// One byte with the object size comes before the size.
		if (!number(size, 1, &found->size) || !number(features, 0, &found->features))
			return -EIO;
		if (watchers.empty())
			return 0;
		found->watchers = static_cast<cephferry_watcher *>(std::calloc(watchers.size(), sizeof(cephferry_watcher)));
		if (found->watchers == nullptr)
			return -ENOMEM;
		for (const obj_watch_t &watcher : watchers) {
			cephferry_watcher &to = found->watchers[found->count++];
			static_assert(sizeof to.addr == sizeof watcher.addr, "addresses of another length");
			std::memcpy(to.addr, watcher.addr, sizeof to.addr - 1); // calloc has ended it
			to.client = watcher.watcher_id;
			to.cookie = watcher.cookie;
		}
		return 0;
	}
};

// bytes_read is an operation that reads an object from its beginning.
struct bytes_read {
	librados::ObjectReadOperation op;
	librados::bufferlist data;

	explicit bytes_read(size_t limit) { op.read(0, limit, &data, nullptr); }

	void take(int result, cephferry_bytes *found)
	{
		found->result = result;
		if (result < 0 || data.length() == 0)
			return;
		found->data = static_cast<char *>(std::malloc(data.length()));
		if (found->data == nullptr) {
			found->result = -ENOMEM;
			return;
		}
		found->length = data.length();
		data.begin().copy(data.length(), found->data);
	}
};

// pending is an operation that was begun. It has ended when it is no more: librados writes into
// what the operation was given until then.
class pending {
public:
	pending(librados::IoCtx &ioctx, const char *object, librados::ObjectReadOperation &op)
	    : completion_(librados::Rados::aio_create_completion())
	{
		begun_ = ioctx.aio_operate(object, completion_, &op, nullptr);
	}
	~pending()
	{
		if (begun_ == 0)
			completion_->wait_for_complete();
		completion_->release();
	}
	pending(const pending &) = delete;
	pending &operator=(const pending &) = delete;

	int wait()
	{
		if (begun_ < 0)
			return begun_;
		completion_->wait_for_complete();
		return completion_->get_return_value();
	}
	uint64_t version() { return begun_ == 0 ? completion_->get_version64() : 0; }

private:
	librados::AioCompletion *completion_;
	int begun_ = 0;
};

int read_header(rados_ioctx_t io, const char *object, cephferry_header *found)
{
	librados::IoCtx ioctx;
	librados::IoCtx::from_rados_ioctx_t(io, ioctx);
	header_read read;
	return read.take(ioctx.operate(object, &read.op, nullptr), found);
}

void glance(rados_ioctx_t io, const char *const *names, size_t count, const char *record, const char *header,
	    size_t limit, cephferry_glance_result *found)
{
	librados::IoCtx ioctx;
	librados::IoCtx::from_rados_ioctx_t(io, ioctx);
	// What is written into is made before what is begun, and so outlives it.
	header_read header_reads;
	bytes_read record_reads(limit);
	std::list<bytes_read> id_reads;
	for (size_t i = 0; i < count; i++)
		id_reads.emplace_back(256);

	std::list<pending> ids;
	const char *const *name = names;
	for (bytes_read &read : id_reads)
		ids.emplace_back(ioctx, *name++, read.op);
	pending of_record(ioctx, record, record_reads.op), of_header(ioctx, header, header_reads.op);

	cephferry_bytes *id = found->ids;
	auto read = id_reads.begin();
	for (pending &one : ids)
		(read++)->take(one.wait(), id++);
	record_reads.take(of_record.wait(), &found->record);
	found->version = of_record.version();
	found->header_result = header_reads.take(of_header.wait(), &found->header);
}

} // namespace

int cephferry_read_header(rados_ioctx_t io, const char *object, cephferry_header *found)
{
	*found = cephferry_header{};
	// An exception must not reach Go.
	try {
		return read_header(io, object, found);
	} catch (const std::bad_alloc &) {
		return -ENOMEM;
	} catch (const std::exception &) {
		return -EIO;
	}
}

int cephferry_glance(rados_ioctx_t io, const char *const *names, size_t count, const char *record,
		     const char *header, size_t limit, cephferry_glance_result *found)
{
	*found = cephferry_glance_result{};
	if (count > cephferry_names)
		return -EINVAL;
	int result = 0;
	try {
		glance(io, names, count, record, header, limit, found);
	} catch (const std::bad_alloc &) {
		result = -ENOMEM;
	} catch (const std::exception &) {
		result = -EIO;
	}
	if (result != 0)
		cephferry_free_glance(found);
	return result;
}

void cephferry_free_glance(cephferry_glance_result *found)
{
	for (cephferry_bytes &id : found->ids)
		std::free(id.data);
	std::free(found->record.data);
	std::free(found->header.watchers);
	*found = cephferry_glance_result{};
}
