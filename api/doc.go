// Package api holds the types of Coffer's HTTP API, version 1: JSON (RFC 8259)
// under /v1, described by the OpenAPI 3.1 document at /v1/openapi.json. Start from
// [PrepareRequest], [Intent] and [Problem].
//
// Ids are UUIDv7 in lower case, hashes 64 lower-case hex digits, networks CAIP-2,
// assets CAIP-19, times RFC 3339 in UTC. Lists are pages: see [Page].
//
// The server is trusted for nothing here that matters: package api/client
// compares what it answers with what was asked and with the journal's evidence.
package api
