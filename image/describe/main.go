package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stderr))
}

func run(args []string, packages io.Reader, stderr io.Writer) int {
	if err := describe(args, packages); err != nil {
		fmt.Fprintf(stderr, "describe: %v\n", err)
		return 1
	}
	return 0
}

// image is what is described.
type image struct {
	name, version string
	// digest is that of the image's manifest, "sha256:...".
	digest       string
	architecture string
	base         string
	baseDigest   string
	// commit is the source's, of that time.
	commit  string
	created time.Time
	builder string

	packages []osPackage
	programs []program
}

// program is one of ours.
type program struct {
	name   string
	sha256 string
	info   *buildinfo.BuildInfo
}

func describe(args []string, packages io.Reader) error {
	var i image
	var files []string
	var created int64
	var distribution, sbomFile, provenanceFile, predicateFile string
	flags := pflag.NewFlagSet("describe", pflag.ContinueOnError)
	flags.StringVar(&i.name, "name", "", "the image's name")
	flags.StringVar(&i.version, "version", "", "its version")
	flags.StringVar(&i.digest, "digest", "", "its digest, sha256:...")
	flags.StringVar(&i.architecture, "architecture", "", "its architecture")
	flags.StringVar(&i.base, "base", "", "the image that it is based on")
	flags.StringVar(&i.baseDigest, "base-digest", "", "that image's digest, sha256:...")
	flags.StringVar(&i.commit, "commit", "", "the commit of its source")
	flags.Int64Var(&created, "created", 0, "when that was, in seconds since 1970")
	flags.StringVar(&i.builder, "builder", "", "who builds, as a URI")
	flags.StringVar(&distribution, "distribution", "", "ID and VERSION_ID of its os-release, as debian-12")
	flags.StringArrayVar(&files, "program", nil, "one of its programs, repeatable")
	flags.StringVar(&sbomFile, "sbom", "", "where the bill of materials is written")
	flags.StringVar(&provenanceFile, "provenance", "", "where the provenance is written")
	flags.StringVar(&predicateFile, "predicate", "", "where the provenance's predicate is written, for who signs it as a statement of their own")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var missing []error
	flags.VisitAll(func(flag *pflag.Flag) {
		if !flag.Changed {
			missing = append(missing, fmt.Errorf("--%s: required", flag.Name))
		}
	})
	if len(missing) > 0 {
		return errors.Join(missing...)
	}
	i.created = time.Unix(created, 0).UTC()
	var err error
	if i.packages, err = readPackages(packages, distribution); err != nil {
		return err
	}
	for _, file := range files {
		p, err := readProgram(file)
		if err != nil {
			return err
		}
		i.programs = append(i.programs, p)
	}
	statement, err := i.provenance()
	if err != nil {
		return err
	}
	return errors.Join(write(sbomFile, i.sbom()), write(provenanceFile, statement), write(predicateFile, statement.Predicate))
}

func readProgram(file string) (program, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return program{}, err
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return program{}, fmt.Errorf("read how %s was built: %w", file, err)
	}
	return program{name: filepath.Base(file), sha256: fmt.Sprintf("%x", sha256.Sum256(data)), info: info}, nil
}

func write(file string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

// digestSet is a digest as in-toto writes it.
func digestSet(digest string) (map[string]string, error) {
	algorithm, value, ok := strings.Cut(digest, ":")
	if !ok || algorithm != "sha256" || len(value) != 64 {
		return nil, fmt.Errorf("digest %q: must be sha256: and 64 digits", digest)
	}
	return map[string]string{algorithm: value}, nil
}
