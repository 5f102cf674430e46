package page

import (
	"net/url"
	"strconv"
)

// pager leads through a list by number (targets) or by cursor (the rest).
type pager struct {
	Text  string // "1 to 100 of 5,000"
	First string // addresses; "" if there is no such page
	Prev  string
	Next  string
}

// paged cuts the page of at most size out of a list that u asks for; say counts
// what is in it.
func paged[T any](u *url.URL, list []T, size int, say func(int) string) (pager, []T) {
	pages := max(1, (len(list)+size-1)/size)
	n, err := strconv.Atoi(u.Query().Get("page"))
	if err != nil {
		n = 1
	}
	n = min(max(n, 1), pages)
	from, to := (n-1)*size, min(n*size, len(list))
	if pages == 1 {
		return pager{}, list
	}
	p := pager{Text: count(from+1) + " to " + count(to) + " of " + say(len(list))}
	if n > 2 {
		p.First = with(u, "page", "")
	}
	if n > 1 {
		p.Prev = with(u, "page", strconv.Itoa(n-1))
	}
	if n < pages {
		p.Next = with(u, "page", strconv.Itoa(n+1))
	}
	return p, list[from:to]
}

// byCursor is a pager that goes only forwards; back is the browser's button.
func byCursor(u *url.URL, cursor, next, fragment string) pager {
	var p pager
	if cursor != "" {
		p.First = with(u, "before", "") + fragment
	}
	if next != "" {
		p.Next = with(u, "before", next) + fragment
	}
	return p
}
