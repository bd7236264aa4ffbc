// Command postrender is a Helm post-renderer: it reads rendered manifests on
// standard input, prepares annotated claims for the reconciler in the cluster, or
// makes their images and static PV/PVC pairs itself, and writes the manifests to
// standard output.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/cephferry/cephferry/pkg/version"
)

func main() {
	// This is one short run: collecting garbage only pays if there is a lot.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	widen(os.Stdin, os.Stdout)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], system{os.Stdin, os.Stdout, os.Stderr, os.Getenv})
	stop()
	os.Exit(code)
}

// system is what the process is connected to.
type system struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// run returns the exit code: 0, or 1 after an error, with nothing on standard
// output. The doctor returns 1 too if it finds a problem.
func run(ctx context.Context, args []string, sys system) int {
	options, err := parseFlags(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(sys.stdout, usage())
		return 0
	case err == nil && options.version:
		fmt.Fprintln(sys.stdout, version.String())
		return 0
	case err == nil && options.command == doctorCommand:
		var healthy bool
		if healthy, err = examine(ctx, options, sys); err == nil && !healthy {
			return 1
		}
	case err == nil && options.command == pathCommand:
		var path string
		if path, err = os.Executable(); err == nil {
			fmt.Fprintln(sys.stdout, path)
		}
	case err == nil && options.command == listCommand:
		err = list(ctx, options, sys)
	case err == nil:
		err = render(ctx, options, sys)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(sys.stderr, "postrender: %v\n", err)
	if sys.getenv("HELM_PLUGIN_NAME") != "" && options.command == "" {
		return tellHelm4(sys.stdout, err)
	}
	return 1
}

// tellHelm4 makes Helm 4 show the error. Helm 4 drops what a plugin writes to
// standard error, and with it the reason of a failure; but it shows a YAML error
// in what it gets. So the error becomes the only document of the output, in a
// form that no YAML parser accepts, and Helm fails with the text in full.
func tellHelm4(stdout io.Writer, err error) int {
	fmt.Fprintf(stdout, "postrender: !!int %q\n", err.Error())
	return 0
}
