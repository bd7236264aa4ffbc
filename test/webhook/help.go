//go:build linux

package webhook

import "regexp"

// help is how each refusal ends: with the address of its section.
var help = regexp.MustCompile(`\n  see +https://github\.com/cephferry/cephferry/blob/main/docs/troubleshooting\.md#[a-z-]+$`)

// Unhelped returns what a refusal says without the line about where more stands, and whether it
// had that.
func Unhelped(text string) (string, bool) {
	at := help.FindStringIndex(text)
	if at == nil {
		return text, false
	}
	return text[:at[0]], true
}
