-- What the page of prices needs beside the prices themselves.

-- name: guard_terms
-- What guards a lane as a whole.
select row_to_json(t) from guard_terms as t where t.lane = $1
