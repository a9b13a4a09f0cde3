// What this node says of its own copies when members compare: of one file, and digests of many.
// Blocks; runs on a pool.
#pragma once

#include "common/wire/integrity.h"
#include "common/wire/origin_mark.h"
#include "storage/store/store.h"
#include "storage/sync/catalogue.h"

namespace cairn::storage {

// `verify`: the content is compared with its checksums, unless that was done lately. Errors:
// io_error (of the catalogue or the tombstones; what is wrong with the copy is in the answer).
Result<wire::CopyFacts> inspect_copy(Store& store, Catalogue& catalogue, const RemoteName& name,
                                     bool verify);

// Errors: see DigestFiles.
Result<wire::DigestFilesReply> digest_files(Store& store, Catalogue& catalogue,
                                            const wire::DigestFiles& request);

// Errors: see ListMarked.
Result<wire::ListMarkedReply> marked_files(Catalogue& catalogue, const wire::ListMarked& request);

// The part of a digest that one file is: of its name, size, checksum and metadata.
std::uint64_t digest_of(const wire::FileSummary& file);

// "M00/1A/2B" of "M00/1A/2B/name".
std::string directory_of(const std::string& name);

} // namespace cairn::storage
