package api

import "time"

// Key is a public key whose private key exists only as shares. ChainCode is there
// where one key is asked for, and once the nodes have given it.
type Key struct {
	ID         string    `json:"id"`
	Scheme     string    `json:"scheme"`
	PublicKey  string    `json:"publicKey" doc:"base64; SEC 1 compressed on secp256k1"`
	Commitment string    `json:"commitment" doc:"the hash of the chain code that the nodes attested"`
	ChainCode  string    `json:"chainCode,omitzero" doc:"shows all addresses of the key: confidential"`
	Epoch      uint32    `json:"epoch"`
	SignerSet  SignerSet `json:"signerSet"`
}

// SignerSet is who holds a key's shares; Threshold counts ids.
type SignerSet struct {
	Members   []Member `json:"members"`
	Threshold int      `json:"threshold"`
}

// Member is a node of a signer set and how many party ids it holds there.
type Member struct {
	Node string `json:"node"`
	IDs  int    `json:"ids"`
}

// Node is a signer node and what this server knows of it now.
type Node struct {
	ID           string     `json:"id"`
	Institution  string     `json:"institution"`
	Jurisdiction string     `json:"jurisdiction"`
	IdentityKey  string     `json:"identityKey" doc:"base64 of Ed25519 and ML-DSA-44"`
	Sealing      string     `json:"sealing" doc:"how it keeps its shares"`
	Reachable    bool       `json:"reachable"`
	Size         int64      `json:"size" doc:"entries of the journal that it has said to have"`
	LastSeen     *time.Time `json:"lastSeen,omitempty"`
}
