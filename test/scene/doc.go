// Package scene is the starting point for tests of several packages on the lab: servers
// with a webhook in each cluster ([Main]), a namespace for each test with words for
// what happens in it ([Shop]), and commands that end.
//
// A pod writes stamps into the image of its volume. At the end of each test, the stamps of all
// images of its shop must show one writer at a time.
//
// It has the build tag lab, like the tests.
package scene
