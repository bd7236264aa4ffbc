// Package scene is what the tests of several packages on the lab start from: servers
// with a webhook in each cluster ([Main]), a namespace of a test's own with words for
// what happens in it ([Shop]), and commands that end.
//
// What a pod does to its volume is written in the image as stamps. At the end of each
// test, the stamps of all images of its shop must show one writer at a time.
//
// It has the build tag lab, like the tests.
package scene
