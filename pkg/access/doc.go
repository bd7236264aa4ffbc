// Package access finds out who requests the page and what they may list. It asks the API
// server and keeps no list of users of its own. Reviews serves the webhook, which answers
// other people's requests. Self serves a program that a person runs with their own credentials.
package access
