package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// osPackage is a package of the image's distribution.
type osPackage struct{ name, version, purl string }

// readPackages reads a line per package: "deb" or "rpm", name, version and architecture. The version
// of an rpm begins with its epoch, 0 where it has none.
func readPackages(r io.Reader, distribution string) ([]osPackage, error) {
	vendor, _, ok := strings.Cut(distribution, "-")
	if !ok {
		return nil, fmt.Errorf("--distribution %s: must be as debian-12", distribution)
	}
	var found []osPackage
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		// A key that packages are signed with, which rpm lists among them.
		if len(fields) > 1 && fields[0] == "rpm" && fields[1] == "gpg-pubkey" {
			continue
		}
		if len(fields) != 4 || fields[0] != "deb" && fields[0] != "rpm" {
			return nil, fmt.Errorf("read packages: line %q", lines.Text())
		}
		version, qualifiers := fields[2], "?arch="+fields[3]+"&distro="+distribution
		escapedVersion := escaped(version)
		if fields[0] == "rpm" {
			// A package URL has an rpm's epoch beside the version, and a deb's in it.
			epoch, rest, ok := strings.Cut(version, ":")
			if !ok {
				return nil, fmt.Errorf("read packages: no epoch in line %q", lines.Text())
			}
			escapedVersion = escaped(rest)
			if epoch == "0" {
				version = rest
			} else {
				qualifiers += "&epoch=" + epoch
			}
		}
		found = append(found, osPackage{fields[1], version, "pkg:" + fields[0] + "/" + vendor + "/" + escaped(fields[1]) + "@" + escapedVersion + qualifiers})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read packages: %w", err)
	}
	if len(found) == 0 {
		return nil, errors.New("read packages: there are none")
	}
	slices.SortFunc(found, func(a, b osPackage) int { return strings.Compare(a.purl, b.purl) })
	return slices.Compact(found), nil
}

// module is a Go module in one of the programs; sum is its hash in go.sum.
type module struct{ path, version, sum string }

func (m module) purl() string {
	parts := strings.Split(m.path, "/")
	for i := range parts {
		parts[i] = escaped(parts[i])
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + escaped(m.version)
}

// escaped is a part of a package URL.
func escaped(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.PathEscape(text), "+", "%2B"), ":", "%3A")
}

// modules are those that a program was built from, without its own, and Go's library.
func (p program) modules() []module {
	found := []module{{path: "stdlib", version: strings.TrimPrefix(p.info.GoVersion, "go")}}
	for _, used := range p.info.Deps {
		dep := *used
		if used.Replace != nil {
			dep = *used.Replace
		}
		found = append(found, module{dep.Path, dep.Version, dep.Sum})
	}
	return found
}

// modules are those of all programs.
func (i image) modules() []module {
	var all []module
	for _, p := range i.programs {
		all = append(all, p.modules()...)
	}
	slices.SortFunc(all, func(a, b module) int { return strings.Compare(a.purl(), b.purl()) })
	return slices.Compact(all)
}
