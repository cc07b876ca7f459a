// Package network talks to nodes of networks: it reads blocks, asks for fees and
// sends transactions. Start from [NewBitcoin].
//
// It is outside the trusted part. A node of a network that lies can hold back or
// misreport deposits and confirmations; what a transaction does is decided by
// package chain, from bytes alone.
package network
