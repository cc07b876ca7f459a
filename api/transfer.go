package api

import "time"

// Transfer is the user's view of an intent of type TRANSFER and its transactions.
type Transfer struct {
	ID           string        `json:"id" doc:"of the intent"`
	State        string        `json:"state"`
	Reason       string        `json:"reason,omitzero" doc:"why it ended"`
	Rule         string        `json:"rule,omitzero" doc:"the rule of policy that blocked it"`
	WaitingFor   string        `json:"waitingFor,omitzero" doc:"what it waits for, for people"`
	ExternalID   string        `json:"externalId,omitzero"`
	Network      string        `json:"network"`
	Wallet       string        `json:"wallet"`
	Amount       Amount        `json:"amount"`
	FeeLimit     Amount        `json:"feeLimit"`
	Destination  Recipient     `json:"destination"`
	Initiator    string        `json:"initiator"`
	Created      time.Time     `json:"created"`
	Expires      time.Time     `json:"expires"`
	Updated      time.Time     `json:"updated"`
	Witnessed    bool          `json:"witnessed" doc:"a quorum has cosigned a head that covers its newest entry"`
	Approvals    []Given       `json:"approvals"`
	Opened       *Opened       `json:"opened,omitzero" doc:"once authorized"`
	Transactions []Transaction `json:"transactions" doc:"in the order of their preparation; at most one of them is ever mined"`
}

// Recipient says where a transfer goes.
type Recipient struct {
	Kind        string  `json:"kind" enum:"INTERNAL,ALLOWLISTED,COUNTERPARTY,ONE_TIME"`
	Address     string  `json:"address"`
	Wallet      string  `json:"wallet,omitzero" doc:"INTERNAL"`
	Index       *uint32 `json:"index,omitempty" doc:"INTERNAL: which address of the wallet"`
	Destination string  `json:"destination,omitzero" doc:"ALLOWLISTED, COUNTERPARTY: the entry of the address book"`
	Country     string  `json:"country,omitzero" doc:"ONE_TIME"`
}

// Transaction is a transaction of an intent.
type Transaction struct {
	Leaf        string     `json:"leaf" doc:"leaf hash of its PREPARED entry"`
	Index       int64      `json:"index" doc:"of its PREPARED entry"`
	State       string     `json:"state" doc:"such as BROADCASTING"`
	Fee         Amount     `json:"fee"`
	Transaction string     `json:"transaction,omitzero" doc:"the network's id of it, once signed"`
	Broadcast   *time.Time `json:"broadcast,omitempty"`
	Block       string     `json:"block,omitzero" doc:"hash of the block that it is in"`
	Height      *int64     `json:"height,omitempty" doc:"of that block"`
	Depth       int64      `json:"confirmations" doc:"blocks from its own to the newest; 0 while it is in none"`
}
