package api

import "encoding/json"

// Person is someone, or a program, that can sign. Nothing in it names a human.
type Person struct {
	ID          string   `json:"id"`
	Institution string   `json:"institution"`
	Country     string   `json:"country"`
	Kind        string   `json:"kind" enum:"HUMAN,SERVICE"`
	Roles       []string `json:"roles"`
	Groups      []string `json:"groups"`
}

// Group is a named set of people.
type Group struct {
	ID      string   `json:"id"`
	Members []string `json:"members"`
}

// Destination is an entry of the address book.
type Destination struct {
	ID           string   `json:"id"`
	Kind         string   `json:"kind" enum:"ALLOWLISTED,COUNTERPARTY"`
	Network      string   `json:"network"`
	Address      string   `json:"address"`
	Method       string   `json:"method,omitzero" doc:"of a contract, the one method that may be called"`
	Country      string   `json:"country"`
	Counterparty string   `json:"counterparty,omitzero" doc:"LEI"`
	Tags         []string `json:"tags"`
}

// Policy is the policy in force.
type Policy struct {
	Hash    string          `json:"hash"`
	Version int64           `json:"version"`
	Text    string          `json:"text" doc:"for people, made from what nodes decide by"`
	Policy  json.RawMessage `json:"policy" doc:"compiled, as nodes parse it"`
}

// Head is the newest head of the journal that a quorum of witnesses cosigned.
type Head struct {
	Note        string `json:"note" doc:"signed note (C2SP); empty before the first"`
	Size        int64  `json:"size" doc:"entries that it covers"`
	JournalSize int64  `json:"journalSize" doc:"entries that there are"`
}

// Entry is an entry of the journal.
type Entry struct {
	Index     int64  `json:"index"`
	Witnessed bool   `json:"witnessed" doc:"a head that a quorum has cosigned covers it"`
	Entry     string `json:"entry" doc:"its canonical JSON, of which the leaf is the hash"`
}

// Health says that the server is there and how far its journal is.
type Health struct {
	Status        string `json:"status" enum:"ok"`
	JournalSize   int64  `json:"journalSize" doc:"entries of the journal"`
	WitnessedSize int64  `json:"witnessedSize" doc:"entries that the newest cosigned head covers"`
}
