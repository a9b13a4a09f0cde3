// Storage nodes on the command line: their names, and asking one of them.
#pragma once

#include "cairn/client.h"
#include "common/wire/integrity.h"

#include <string>
#include <string_view>
#include <vector>

namespace cairn::tools {

// How a node is called in output: "group1-storage2" when its address is one of `cairn local`
// (127.B.11.2), else its storage ID.
std::string node_name(const ClusterNode& node);

// The node that `text` means: a name as above, a storage ID, HOST or HOST:PORT, or a UUID. Errors:
// not_found, invalid_argument (it means several).
Result<ClusterNode> find_node(const Cluster& cluster, std::string_view text);

// The nodes of `group` ("": of all groups) that were not removed, by group and ID.
std::vector<ClusterNode> members(const Cluster& cluster, std::string_view group);

// What one node says of its own copy of a file. Errors: those of the call.
Result<wire::ProbeReply> probe(Client& client, const ClusterNode& node, const std::string& name,
                               Timeout timeout = {});

// One page of the files a node has, in name order. Errors: those of the call.
Result<wire::ListFilesReply> list_files(Client& client, const ClusterNode& node,
                                        const std::string& after, std::uint32_t limit,
                                        Timeout timeout = {});

// Digests of a part of a node's files; see wire::DigestFiles. Errors: those of the call.
Result<wire::DigestFilesReply> digest_files(Client& client, const ClusterNode& node,
                                            const wire::DigestFiles& request, Timeout timeout = {});

// Lets a node compare its copy of a file with those of the others and make it right. Errors: those
// of the call.
Result<wire::RepairReply> repair_file(Client& client, const ClusterNode& node,
                                      const std::string& name, Timeout timeout = {});

} // namespace cairn::tools
