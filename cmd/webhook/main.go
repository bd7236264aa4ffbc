// Command webhook is a validating admission webhook: it refuses to start pods on
// an RBD image that another cluster has open. Its leader also makes the volumes of
// migratable claims.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/cephferry/cephferry/pkg/version"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// garbage is how much garbage there may be, in percent of what is in use. Almost all of
// that are caches, which stay: with Go's 100, ten thousand volumes would take half as much
// memory again, for a few hundredths of a millisecond less of processor time per answer.
const garbage = 50

func run(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	options, err := parseFlags(args, getenv)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, help())
		return 0
	case err == nil && options.version:
		fmt.Fprintln(stdout, version.String())
		return 0
	case err == nil:
		if getenv("GOGC") == "" {
			debug.SetGCPercent(garbage)
		}
		err = serve(ctrl.SetupSignalHandler(), options, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "webhook: %v\n", err)
		return 1
	}
	return 0
}
