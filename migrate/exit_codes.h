// Exit codes: rsync's for what copies, Cairn's for the other verbs.
#pragma once

namespace cairn::migrate {

// Of run, resume, sync and gate.
enum RsyncCode : int {
  kDone = 0,
  kSyntax = 1,
  kSelection = 3,  // the source cannot be read at all
  kSocket = 10,    // the cluster cannot be reached
  kFileIo = 11,    // the destination is full or refuses; the ledger
  kProtocol = 12,  // the cluster answers what it should not
  kStopped = 20,   // by a signal or `pause`; resumable
  kMemory = 22,    // --memory is too little
  kPartial = 23,   // some files failed
  kVanished = 24,  // some files vanished before they were copied
  kMaxDelete = 25, // --max-delete kept some from being removed
  kTimeout = 30,   // nothing worked for --timeout
  kMismatch = 40,  // verification has found differences
  kNotGreen = 41,  // gate
};

// Of the other verbs, as the `cairn` command has them.
enum VerbCode : int {
  kGood = 0,
  kUsage = 1,
  kSome = 2,
  kNotFound = 3,
  kDenied = 4,
  kConflict = 5, // also of run: the job belongs to another source, destination or cluster
  kUnavailable = 6,
  kVerifyFailed = 8,
};

} // namespace cairn::migrate
