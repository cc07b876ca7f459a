package api

import "time"

// Vault is a book of wallets with one owner and one purpose.
type Vault struct {
	ID          string `json:"id"`
	Institution string `json:"institution"`
	Domain      string `json:"domain"`
	Purpose     string `json:"purpose"`
}

// Wallet is a vault on one network. Balance is there where one wallet is asked for.
type Wallet struct {
	ID      string   `json:"id"`
	Vault   string   `json:"vault"`
	Network string   `json:"network"`
	Key     string   `json:"key"`
	Path    uint32   `json:"path" doc:"its addresses are at m/path/0/index"`
	Balance *Balance `json:"balance,omitzero"`
}

// Balance is what a wallet holds, as this server's network node sees it.
type Balance struct {
	Confirmed   Amount `json:"confirmed" doc:"in blocks"`
	Unconfirmed Amount `json:"unconfirmed" doc:"seen, in no block"`
}

// Address is an address of a wallet. Check it with package api/client before money
// is sent to it.
type Address struct {
	Address string     `json:"address"`
	Path    string     `json:"path" doc:"such as m/0/0/3"`
	Index   uint32     `json:"index"`
	Created *time.Time `json:"created,omitempty"`
}

// Deposit is money that came in.
type Deposit struct {
	Transaction string `json:"transaction" doc:"the network's id of it"`
	Output      uint32 `json:"output" doc:"which part of the transaction"`
	Wallet      string `json:"wallet"`
	Index       uint32 `json:"index" doc:"of the address"`
	Amount      Amount `json:"amount"`
	State       string `json:"state" doc:"such as CONFIRMING"`
	Height      *int64 `json:"height,omitempty" doc:"of the block that it is in"`
	Depth       int64  `json:"confirmations" doc:"blocks from its own to the newest; 0 while it is in none"`
}
