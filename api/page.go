package api

// Page is a part of a list. To get the next part, ask again with its cursor; there
// is none if NextCursor is empty.
type Page[T any] struct {
	Data       []T    `json:"data"`
	NextCursor string `json:"nextCursor,omitzero" doc:"opaque; absent on the last page"`
}

// MaxLimit is the most elements of a page that can be asked for, and DefaultLimit
// how many there are unless asked.
const (
	MaxLimit     = 200
	DefaultLimit = 50
)

// Amount is an amount of an asset. Units alone counts; Decimal is there to be read.
type Amount struct {
	Units   string `json:"units" doc:"base units of the asset, in decimal digits"`
	Decimal string `json:"decimal,omitzero" doc:"the same in the asset's usual unit; absent where that isn't known"`
	Asset   string `json:"asset" doc:"CAIP-19"`
}
