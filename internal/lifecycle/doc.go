// Package lifecycle moves intents and their transactions on, from what people submit
// to what a network has confirmed. Start from [New] and [Lifecycle.Run]; one
// transfer's road is submit.go, decide.go, prepare.go, execute.go, watch.go.
//
// Every step first looks at what is on record and then does the next thing, so that
// it can be repeated after a crash at any point: the row of an intent is the queue,
// and effects outside (a session, a broadcast) may happen twice without harm.
package lifecycle
