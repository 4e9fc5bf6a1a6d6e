"""The commands that read and write a study in Optuna's tables.

`trial_user_attributes.key = 'key'` is ours: a random mark, which tells whether a trial was written
although no answer came.
"""

FIND = "SELECT study_id FROM studies WHERE study_name = %(name)s"

CREATE = """
    WITH study AS (INSERT INTO studies (study_name) VALUES (%(name)s) RETURNING study_id),
    directions AS (
        INSERT INTO study_directions (study_id, objective, direction)
        SELECT study_id, place - 1, direction::studydirection
        FROM study, unnest(%(directions)s::text[]) WITH ORDINALITY AS given (direction, place)
    )
    INSERT INTO study_user_attributes (study_id, key, value_json)
    SELECT study_id, key, value
    FROM study, unnest(%(keys)s::text[], %(values)s::text[]) AS given (key, value)
"""

ATTRS = "SELECT key, value_json FROM study_user_attributes WHERE study_id = %(study)s"

SET = """
    INSERT INTO study_user_attributes (study_id, key, value_json)
    VALUES (%(study)s, %(key)s, %(value)s)
    ON CONFLICT (study_id, key) DO UPDATE SET value_json = excluded.value_json
"""

TRIALS = """
    SELECT trial_id, number, state::text, key, value_json
    FROM trials LEFT JOIN trial_user_attributes USING (trial_id)
    WHERE study_id = %(study)s AND number >= %(start)s ORDER BY trial_id
"""

NOTES = """
    SELECT number, key, value_json FROM trials JOIN trial_system_attributes USING (trial_id)
    WHERE study_id = %(study)s
"""

LAST = """
    SELECT count(*), coalesce(max(trial_id), 0) FROM trials WHERE study_id = %(study)s
"""

# Others may add trials as well, though only the holder of the claim adds finished ones.
APPEND = """
    WITH trial AS (
        INSERT INTO trials (study_id, number, state, datetime_start, datetime_complete)
        SELECT %(study)s, %(count)s + count(*), %(state)s::trialstate, %(now)s, %(now)s
        FROM trials WHERE study_id = %(study)s AND trial_id > %(last)s
        RETURNING trial_id, number
    ),
    figures AS (
        INSERT INTO trial_values (trial_id, objective, value, value_type)
        SELECT trial_id, place - 1, value, 'FINITE'
        FROM trial, unnest(%(figures)s::float8[]) WITH ORDINALITY AS given (value, place)
    ),
    attrs AS (
        INSERT INTO trial_user_attributes (trial_id, key, value_json)
        SELECT trial_id, key, value
        FROM trial, unnest(%(keys)s::text[], %(values)s::text[]) AS given (key, value)
    ),
    notes AS (
        INSERT INTO trial_system_attributes (trial_id, key, value_json)
        SELECT trial_id, key, value
        FROM trial, unnest(%(note_keys)s::text[], %(notes)s::text[]) AS given (key, value)
    )
    SELECT trial_id, number FROM trial
"""

WRITTEN = """
    SELECT trial_id, number FROM trials JOIN trial_user_attributes USING (trial_id)
    WHERE study_id = %(study)s AND trial_id > %(last)s AND key = 'key' AND value_json = %(mark)s
"""
