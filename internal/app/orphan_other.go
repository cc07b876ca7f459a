//go:build !linux

package app

import "os/exec"

// diesWithParent does nothing here: a party ends when its standard input does.
func diesWithParent(*exec.Cmd) {}
