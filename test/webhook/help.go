//go:build linux

package webhook

import "regexp"

// help is how each refusal ends: with the address of its section.
var help = regexp.MustCompile(`\n  see +https://github\.com/cephferry/cephferry/blob/main/docs/troubleshooting\.md#[a-z-]+$`)

// tells are the lines about what the owner's leader tells, which come seconds after its pods.
var tells = regexp.MustCompile(`\n  (pod there|missing|way out)  +[^\n]*`)

// Unhelped returns what a refusal says without the line about where more stands, and those of
// what the image's owner tells, and whether it had the first.
func Unhelped(text string) (string, bool) {
	at := help.FindStringIndex(text)
	if at == nil {
		return text, false
	}
	return tells.ReplaceAllString(text[:at[0]], ""), true
}
