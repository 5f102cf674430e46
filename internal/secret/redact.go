package secret

import (
	"net/url"
	"regexp"
	"strings"
)

// Words that make a key the name of a secret, at the end of the key.
var nameOfSecret = regexp.MustCompile(`(^|[_.-])(password|passwd|passphrase|secret|secrets|token|tokens|credentials?|authorization|cookie|private_key|secret_key|access_key|api_key|apikey|key)$`)

// Named reports whether a key names a secret that stands beside it: password,
// bearer_token, X-Api-Key. A key that ends in _file names a file, not a secret.
func Named(key string) bool {
	return nameOfSecret.MatchString(strings.ToLower(key))
}

// NamedFile reports whether a key names a file, or files, with a secret in it:
// password_file, secret_files.
func NamedFile(key string) bool {
	key = strings.ToLower(key)
	for _, suffix := range []string{"_file", "_files"} {
		if stem, ok := strings.CutSuffix(key, suffix); ok {
			return Named(stem)
		}
	}
	return false
}

var userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#@:]*):([^\s/?#]*)@`)

// URLs puts Mark for the passwords of all URLs in the text.
func URLs(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	return userinfo.ReplaceAllString(text, "${1}${2}:"+Mark+"@")
}

// InURL reports whether the text is a URL with a password in it.
func InURL(text string) bool {
	if userinfo.MatchString(text) {
		return true
	}
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}
