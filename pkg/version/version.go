// Package version says which version this program is.
package version

import "runtime/debug"

// build is set by the linker.
var build string

// String is the version that the build was given, otherwise that of the module,
// and "(devel)" when there is neither.
func String() string {
	if build != "" {
		return build
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
