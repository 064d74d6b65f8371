//go:build tools

// Calico's own command line, built from this module's versions: `go build <path>`.
package main

import _ "github.com/projectcalico/calico/calicoctl/calicoctl"
