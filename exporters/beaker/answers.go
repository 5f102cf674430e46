package beaker

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
)

// conditions are Beaker's SystemStatus, in lower case, and what to call others.
var conditions = []string{"automated", "manual", "broken", "removed", "other"}

// system is what GET /systems/FQDN/status answers
// (Server/bkr/server/systems.py: get_system_status).
type system struct {
	condition string // of conditions
	loaned    bool
	reserved  bool
	recipe    time.Time // when the recipe that holds it began; zero if none does, or it is not told
}

// parseSystem reads the status of a system.
func parseSystem(r io.Reader) (s system, err error) {
	var raw struct {
		Condition   *string         `json:"condition"`
		Loan        json.RawMessage `json:"current_loan"`
		Reservation *struct {
			StartTime string `json:"start_time"`
		} `json:"current_reservation"`
	}
	if err := decodeJSON(r, &raw); err != nil {
		return s, err
	}
	if raw.Condition == nil {
		return s, errors.New("it has no condition")
	}
	s.condition = strings.ToLower(*raw.Condition)
	if !slices.Contains(conditions, s.condition) {
		s.condition = "other"
	}
	s.loaned = len(raw.Loan) > 0 && string(raw.Loan) != "null" && string(raw.Loan) != "{}"
	if raw.Reservation != nil {
		s.reserved = true
		s.recipe = startTime(raw.Reservation.StartTime)
	}
	return s, nil
}

// startTime reads "2026-01-31 12:00:00 UTC", which is str of a Python datetime
// with a word behind it; fractions of seconds may stand in between.
func startTime(text string) time.Time {
	at, err := time.Parse("2006-01-02 15:04:05 UTC", text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// recipeWords are the statuses of recipes that jobs are counted by, and what to
// call others.
var recipeWords = append(slices.Clone(recipeStatuses), "completed", "cancelled", "aborted", "other")

// parseJob counts the recipes of GET /jobs/ID by status
// (Server/bkr/server/model/scheduler.py: Job and RecipeSet to JSON).
func parseJob(r io.Reader) (recipes map[string]int, err error) {
	type status struct {
		Status string `json:"status"`
	}
	var raw struct {
		ID         *int `json:"id"`
		RecipeSets []struct {
			MachineRecipes []status `json:"machine_recipes"`
		} `json:"recipesets"`
	}
	if err := decodeJSON(r, &raw); err != nil {
		return nil, err
	}
	if raw.ID == nil {
		return nil, errors.New("it has no id")
	}
	recipes = map[string]int{}
	for _, set := range raw.RecipeSets {
		for _, recipe := range set.MachineRecipes {
			word := strings.ToLower(recipe.Status)
			if !slices.Contains(recipeWords, word) {
				word = "other"
			}
			recipes[word]++
		}
	}
	return recipes, nil
}

// parsePool reads the names of the systems in GET /pools/NAME/, which stand
// there as texts or as objects with an fqdn.
func parsePool(r io.Reader, limit int) (names []string, err error) {
	var raw struct {
		Name    *string           `json:"name"`
		Systems []json.RawMessage `json:"systems"`
	}
	if err := decodeJSON(r, &raw); err != nil {
		return nil, err
	}
	if raw.Name == nil {
		return nil, errors.New("it has no name")
	}
	for _, text := range raw.Systems {
		var whole struct {
			FQDN string `json:"fqdn"`
		}
		var name string
		if json.Unmarshal(text, &name) != nil && json.Unmarshal(text, &whole) == nil {
			name = whole.FQDN
		}
		if isHost(name) && len(names) < limit {
			names = append(names, name)
		}
	}
	return names, nil
}

// decodeJSON reads one JSON value and nothing behind it.
func decodeJSON(r io.Reader, into any) error {
	d := json.NewDecoder(r)
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the JSON")
	}
	return nil
}
