// Package access finds out who asks for the page, and what they may list, by asking the API
// server: there is no list of users of our own. Reviews is for the webhook, which others ask;
// Self is for a program that a person runs with their own credentials.
package access
