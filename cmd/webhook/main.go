// Command webhook is a validating admission webhook: it refuses to start pods on
// an RBD image that another cluster owns or has open. Its leader also makes the volumes of
// migratable claims, releases idle images and carries out Takeovers.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/cephferry/cephferry/pkg/version"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// garbage is how much garbage there may be, in percent of what is in use. Almost all that is in
// use are caches, which stay: with Go's default of 100, ten thousand volumes would take half as
// much memory again. With few volumes the caches are so small that some dozens of answers would
// fill a third of them with garbage, so ballast counts as in use. Nobody ever touches its pages,
// so they take no memory. The two are chosen together: with a thousand volumes there may be as
// much garbage as with 50 percent and 32 MiB, and with ten thousand a sixth less.
const (
	garbage = 30
	ballast = 72 << 20
)

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
		weight := newBallast(ballast)
		err = serve(ctrl.SetupSignalHandler(), options, stderr)
		runtime.KeepAlive(weight)
	}
	if err != nil {
		fmt.Fprintf(stderr, "webhook: %v\n", err)
		return 1
	}
	return 0
}
