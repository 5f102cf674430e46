//go:build collie_nosync

package store

// synchronous is OFF in one build only: the one that the test of syncs has to
// find out, to show that it would. Nothing else sets the tag.
const synchronous = "OFF"
