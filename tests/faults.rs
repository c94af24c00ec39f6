//! What every kind of mistake in tasks.yaml looks like on a terminal.
#![cfg(test)]
use taskrun::cli::render;

mod common;

/// The faults of a text as a terminal without colours shows them.
fn shown(text: &str) -> String {
    match common::read(text) {
        Ok(config) => format!("no fault, {} instances", config.instances.len()),
        Err(faults) => render::faults(&faults, false),
    }
}

macro_rules! faults {
    ($($name:ident: $text:literal => $expected:literal)*) => { $(
        #[test]
        fn $name() {
            assert_eq!(shown($text).trim_end(), $expected.trim());
        }
    )* };
}

faults! {
    an_unknown_key: r#"tasks:
  t:
    handler: command
    with: {run: [ls]}
    shedule: "0 9 * * *"
"# => r#"
error: unknown key `shedule`
 --> tasks.yaml:5:5
  |
5 |     shedule: "0 9 * * *"
  |     ^^^^^^^
  |
  = help: did you mean `schedule`?
"#

    a_key_one_level_too_high: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    backoff: exponential
" => r"
error: unknown key `backoff`
 --> tasks.yaml:5:5
  |
5 |     backoff: exponential
  |     ^^^^^^^
  |
  = help: `backoff` belongs under `retries`
"

    an_unknown_key_of_a_small_table: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    retries: {times: 3}
" => r"
error: unknown key `times`
 --> tasks.yaml:5:15
  |
5 |     retries: {times: 3}
  |               ^^^^^
  |
  = help: the keys here are max, delay, backoff, max_delay, jitter
"

    an_unknown_key_at_the_top: r"task:
  t: {handler: command}
" => r"
error: `tasks` is missing
 --> tasks.yaml:1:1
  |
1 | task:
  | ^
  |
  = help: What is to be done, and when

error: unknown key `task`
 --> tasks.yaml:1:1
  |
1 | task:
  | ^^^^
  |
  = help: did you mean `tasks`?
"

    a_parameter_one_level_too_high: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    env: {A: b}
" => r"
error: unknown key `env`
 --> tasks.yaml:5:5
  |
5 |     env: {A: b}
  |     ^^^
  |
  = help: it belongs to the handler: `with: { env: … }`
"

    a_command_without_its_handler: r#"tasks:
  t:
    command: [ls, -l]
    cron: "0 9 * * *"
"# => r#"
error: `handler` is missing
 --> tasks.yaml:2:3
  |
2 |   t:
  |   ^
  |
  = help: What does the work: the name of a handler

error: unknown key `command`
 --> tasks.yaml:3:5
  |
3 |     command: [ls, -l]
  |     ^^^^^^^
  |
  = help: write `handler: command` and `with: { run: ["program", "argument"] }`

error: unknown key `cron`
 --> tasks.yaml:4:5
  |
4 |     cron: "0 9 * * *"
  |     ^^^^
  |
  = help: write `schedule: "0 9 * * mon-fri"`
"#

    a_task_s_key_among_the_parameters: r"tasks:
  t:
    handler: command
    with: {run: [ls], timeout: 5m}
" => r"
error: unknown key `timeout`
 --> tasks.yaml:4:23
  |
4 |     with: {run: [ls], timeout: 5m}
  |                       ^^^^^^^
  |
  = help: `timeout` belongs to the task: put it beside `with`
"

    a_command_line_in_one_piece: r"tasks:
  t: {handler: command, with: {run: ls -l}}
" => r#"
error: `ls -l` is one text, and nothing takes it apart
 --> tasks.yaml:2:37
  |
2 |   t: {handler: command, with: {run: ls -l}}
  |                                     ^^^^^
  |
  = help: write `run: ["ls", "-l"]`, or `shell: true` beside it
"#

    a_task_s_key_in_the_defaults: r"defaults: {handler: command}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: unknown key `handler`
 --> tasks.yaml:1:12
  |
1 | defaults: {handler: command}
  |            ^^^^^^^
  |
  = help: `handler` belongs in each task
"

    a_key_given_twice: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    timeout: 5m
    overlap: skip
    timeout: 6m
" => r"
error: `timeout` is given twice
 --> tasks.yaml:7:5
  |
5 |     timeout: 5m
  |     ------- first
6 |     overlap: skip
7 |     timeout: 6m
  |     ^^^^^^^ again
"

    a_task_given_twice: r"tasks:
  t: {handler: command, with: {run: [ls]}}
  u: {handler: command, with: {run: [ls]}}
  t: {handler: command, with: {run: [pwd]}}
" => r"
error: `t` is given twice
 --> tasks.yaml:4:3
  |
2 |   t: {handler: command, with: {run: [ls]}}
  |   - first
3 |   u: {handler: command, with: {run: [ls]}}
4 |   t: {handler: command, with: {run: [pwd]}}
  |   ^ again
"

    a_list_where_a_table_belongs: r"tasks:
  - t: {handler: command}
" => r"
error: expected a table, found a list
 --> tasks.yaml:2:3
  |
2 |   - t: {handler: command}
  |   ^^^^^^^^^^^^^^^^^^^^^^^
"

    a_table_where_a_duration_belongs: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    timeout:
      minutes: 5
" => r"
error: expected a duration such as `90s`, or `none`, found a table
 --> tasks.yaml:6:7
  |
6 |       minutes: 5
  |       ^^^^^^^^^^
"

    a_key_without_a_value: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    timeout:
    overlap: skip
" => r"
error: expected a duration such as `90s`, or `none`, found nothing
 --> tasks.yaml:5:5
  |
5 |     timeout:
  |     ^^^^^^^
  |
  = help: give it a value, or remove the key
"

    a_task_without_a_handler: r#"tasks:
  t: {schedule: "0 9 * * *"}
"# => r#"
error: `handler` is missing
 --> tasks.yaml:2:3
  |
2 |   t: {schedule: "0 9 * * *"}
  |   ^
  |
  = help: What does the work: the name of a handler
"#

    a_handler_without_its_parameter: r"tasks:
  t: {handler: command}
  u: {handler: command, with: {shell: true}}
" => r"
error: the handler `command` needs `with: { run: … }`
 --> tasks.yaml:2:3
  |
2 |   t: {handler: command}
  |   ^
  |
  = help: The program and its arguments, one element each

error: `run` is missing
 --> tasks.yaml:3:25
  |
3 |   u: {handler: command, with: {shell: true}}
  |                         ^^^^
  |
  = help: The program and its arguments, one element each
"

    a_file_without_tasks: r"timezone: UTC
" => r"
error: `tasks` is missing
 --> tasks.yaml:1:1
  |
1 | timezone: UTC
  | ^
  |
  = help: What is to be done, and when
"

    an_unknown_handler: r"tasks:
  t: {handler: sync_inventroy}
" => r"
error: there is no handler `sync_inventroy`
 --> tasks.yaml:2:16
  |
2 |   t: {handler: sync_inventroy}
  |                ^^^^^^^^^^^^^^
  |
  = help: did you mean `sync_inventory`?
"

    an_unknown_time_zone: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    timezone: Asia/Tokio
" => r"
error: there is no time zone `Asia/Tokio`
 --> tasks.yaml:5:15
  |
5 |     timezone: Asia/Tokio
  |               ^^^^^^^^^^
  |
  = help: did you mean `Asia/Tokyo`?
"

    an_unknown_lock: r"locks: [amazon, base]
tasks:
  t:
    handler: command
    with: {run: [ls]}
    locks: [amazn]
" => r"
error: there is no lock `amazn`
 --> tasks.yaml:6:13
  |
6 |     locks: [amazn]
  |             ^^^^^
  |
  = help: did you mean `amazon`?
"

    an_unknown_calendar: r"calendars: {jp_holidays: [2026-12-31]}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    calendar: {except: holidays}
" => r"
error: there is no calendar `holidays`
 --> tasks.yaml:6:24
  |
6 |     calendar: {except: holidays}
  |                        ^^^^^^^^
  |
  = help: did you mean `jp_holidays`?
"

    an_unknown_account: r#"marketplaces:
  base: {client_id: x, client_secret: "${SECRET}"}
accounts: {shop_1: {platform: base}}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    for_each: {accounts: [shop_2]}
"# => r"
error: there is no account `shop_2`
 --> tasks.yaml:8:27
  |
8 |     for_each: {accounts: [shop_2]}
  |                           ^^^^^^
  |
  = help: did you mean `shop_1`?
"

    an_account_at_no_marketplace: r"accounts: {shop_1: {platform: base}}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: the marketplace `base` is not configured
 --> tasks.yaml:1:21
  |
1 | accounts: {shop_1: {platform: base}}
  |                     ^^^^^^^^
  |
  = help: add `base:` under `marketplaces:`
"

    a_handler_without_its_marketplace: r#"marketplaces:
  base: {client_id: x, client_secret: "${SECRET}"}
tasks:
  t: {handler: sync_inventory}
"# => r"
error: the handler `sync_inventory` needs the marketplace `amazon`
 --> tasks.yaml:4:16
  |
4 |   t: {handler: sync_inventory}
  |                ^^^^^^^^^^^^^^
  |
  = help: add `amazon:` under `marketplaces:`
"

    a_for_each_that_means_nobody: r#"marketplaces:
  base: {client_id: x, client_secret: "${SECRET}"}
accounts: {shop_1: {platform: base}}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    for_each: {platform: amazon}
"# => r"
error: no account is meant by `for_each`, so the task has no instance
 --> tasks.yaml:8:5
  |
8 |     for_each: {platform: amazon}
  |     ^^^^^^^^
  |
  = help: add one under `accounts:`
"

    a_for_each_that_says_nothing: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    for_each: {}
" => r"
error: `for_each` says nothing
 --> tasks.yaml:5:5
  |
5 |     for_each: {}
  |     ^^^^^^^^
  |
  = help: write `for_each: { platform: base }`
"

    a_bad_name: r"tasks:
  Büro: {handler: command, with: {run: [ls]}}
" => r"
error: `Büro` is not a name
 --> tasks.yaml:2:3
  |
2 |   Büro: {handler: command, with: {run: [ls]}}
  |   ^^^^
  |
  = help: names have 1 to 64 of the letters a-z, digits, `_` and `-`
"

    an_hour_that_there_is_not: r#"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: "0 25 * * *"
"# => r#"
error: `25` is not an hour (0 to 23)
 --> tasks.yaml:5:18
  |
5 |     schedule: "0 25 * * *"
  |                  ^^
"#

    a_day_that_there_is_not: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: ['0 9 * * *', '0 9 * * mon-fry']
" => r"
error: `fry` is not a day of the week (0 to 7, or sun to sat)
 --> tasks.yaml:5:42
  |
5 |     schedule: ['0 9 * * *', '0 9 * * mon-fry']
  |                                          ^^^
"

    too_few_fields: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: 0 9 * *
" => r"
error: 4 fields where a cron expression has five
 --> tasks.yaml:5:15
  |
5 |     schedule: 0 9 * *
  |               ^^^^^^^
  |
  = help: write: minute hour day-of-month month day-of-week; with six fields seconds come first, with seven a year comes last
"

    a_date_that_never_comes: r#"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: "0 9 30 2 *"
"# => r#"
error: `0 9 30 2 *` never fires
 --> tasks.yaml:5:15
  |
5 |     schedule: "0 9 30 2 *"
  |               ^^^^^^^^^^^^
  |
  = help: check day and month, and the year if there is one
"#

    a_year_that_is_over: r#"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: "0 0 9 1 1 * 2020"
"# => r#"
error: `0 0 9 1 1 * 2020` never fires
 --> tasks.yaml:5:15
  |
5 |     schedule: "0 0 9 1 1 * 2020"
  |               ^^^^^^^^^^^^^^^^^^
  |
  = help: check day and month, and the year if there is one
"#

    more_often_than_once_a_second: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: {every: 100ms}
" => r"
error: a task can't be due more often than once a second
 --> tasks.yaml:5:23
  |
5 |     schedule: {every: 100ms}
  |                       ^^^^^
  |
  = help: write `1s` or more
"

    two_schedules_in_one: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: {every: 1h, after: 2h}
" => r#"
error: a schedule is one of `cron`, `every` and `after`
 --> tasks.yaml:5:15
  |
5 |     schedule: {every: 1h, after: 2h}
  |               ^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write a list for several: `[{ every: 3h }, "@start"]`
"#

    a_schedule_in_words: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: every 3h
" => r"
error: `every 3h` is not a cron expression
 --> tasks.yaml:5:15
  |
5 |     schedule: every 3h
  |               ^^^^^^^^
  |
  = help: write `{ every: 3h }`
"

    a_reboot: r#"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: "@reboot"
"# => r#"
error: `@reboot` is not known here
 --> tasks.yaml:5:15
  |
5 |     schedule: "@reboot"
  |               ^^^^^^^^^
  |
  = help: write `@start`: once at each start of the daemon
"#

    an_empty_list_of_schedules: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: []
" => r"
error: the list of schedules is empty
 --> tasks.yaml:5:15
  |
5 |     schedule: []
  |               ^^
  |
  = help: leave `schedule` out for a task that is started by hand only
"

    a_duration_without_a_unit: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    timeout: 90
" => r"
error: `90` is not a duration
 --> tasks.yaml:5:14
  |
5 |     timeout: 90
  |              ^^
  |
  = help: add a unit: `90s`
"

    a_duration_in_months: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    timeout: 5M
" => r"
error: `5M`: months and years have no fixed length
 --> tasks.yaml:5:14
  |
5 |     timeout: 5M
  |              ^^
  |
  = help: minutes are `m`: `5m`
"

    a_duration_of_years: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    grace: 400d
" => r"
error: `400d` is longer than 366 days
 --> tasks.yaml:5:12
  |
5 |     grace: 400d
  |            ^^^^
  |
  = help: check the unit: `m` is minutes, `s` seconds
"

    a_zero_that_makes_no_sense: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    timeout: 0
" => r"
error: `0`: zero makes no sense here
 --> tasks.yaml:5:14
  |
5 |     timeout: 0
  |              ^
  |
  = help: write it like `90s`, `5m` or `3h 30m`
"

    a_size_without_a_unit: r"log: {max_size: 10}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: `10` is not a size
 --> tasks.yaml:1:17
  |
1 | log: {max_size: 10}
  |                 ^^
  |
  = help: add a unit: `10MB`
"

    a_share_without_a_percent_sign: r"tasks:
  t: {handler: command, with: {run: [ls]}}
  u: {handler: sync_inventory, with: {max_hide: 5, pricing: {markup: 0.9}}}
" => r"
error: the handler `sync_inventory` needs the marketplace `amazon`
 --> tasks.yaml:3:16
  |
3 |   u: {handler: sync_inventory, with: {max_hide: 5, pricing: {markup: 0.9}}}
  |                ^^^^^^^^^^^^^^
  |
  = help: add `amazon:` under `marketplaces:`

error: the handler `sync_inventory` needs the marketplace `base`
 --> tasks.yaml:3:16
  |
3 |   u: {handler: sync_inventory, with: {max_hide: 5, pricing: {markup: 0.9}}}
  |                ^^^^^^^^^^^^^^
  |
  = help: add `base:` under `marketplaces:`

error: `5` is not a share
 --> tasks.yaml:3:49
  |
3 |   u: {handler: sync_inventory, with: {max_hide: 5, pricing: {markup: 0.9}}}
  |                                                 ^
  |
  = help: write it with a percent sign: `5%`

error: 0.9 is not from 1 to 100
 --> tasks.yaml:3:70
  |
3 |   u: {handler: sync_inventory, with: {max_hide: 5, pricing: {markup: 0.9}}}
  |                                                                      ^^^
  |
  = help: write a number from 1 to 100
"

    acceptance_14_tiers_whose_prices_fall_as_the_cost_rises: r#"marketplaces:
  amazon: {region: fe, marketplace_id: A, client_id: x, client_secret: "${SECRET}"}
  base: {client_id: x, client_secret: "${SECRET}"}
tasks:
  s:
    handler: sync_inventory
    with:
      pricing:
        tiers:
          - { up_to: 1000, markup: 1.40 }
          - { up_to: 5000, markup: 1.30 }
          - { up_to: 10000, markup: 1.25 }
          - { markup: 1.20 }
"# => r"
error: the price falls where this tier begins: cost 1,000 -> 1,400 yen but 1,001 -> 1,300
  --> tasks.yaml:11:36
   |
11 |           - { up_to: 5000, markup: 1.30 }
   |                                    ^^^^
   |
   = help: raise this markup, or write `edges: hold` beside `tiers`: the price then stays at 1,400 until the cost has caught up

error: the price falls where this tier begins: cost 5,000 -> 6,500 yen but 5,001 -> 6,250
  --> tasks.yaml:12:37
   |
12 |           - { up_to: 10000, markup: 1.25 }
   |                                     ^^^^
   |
   = help: raise this markup, or write `edges: hold` beside `tiers`: the price then stays at 6,500 until the cost has caught up

error: the price falls where this tier begins: cost 10,000 -> 12,500 yen but 10,001 -> 12,000
  --> tasks.yaml:13:23
   |
13 |           - { markup: 1.20 }
   |                       ^^^^
   |
   = help: raise this markup, or write `edges: hold` beside `tiers`: the price then stays at 12,500 until the cost has caught up
"

    tiers_that_are_not_in_order: r#"marketplaces:
  amazon: {region: fe, marketplace_id: A, client_id: x, client_secret: "${SECRET}"}
  base: {client_id: x, client_secret: "${SECRET}"}
tasks:
  s:
    handler: sync_inventory
    with: { pricing: { markup: 1.3, tiers: [{ up_to: 5000, markup: 1.2 }, { markup: 1.25 }, { up_to: 1000, markup: 1.3 }] } }
  t:
    handler: sync_inventory
    with: { pricing: { tiers: { up_to: 5000, markup: 1.2 } } }
  u:
    handler: sync_inventory
    with: { pricing: { tiers: [], edges: fall } }
"# => r"
error: `markup` and `tiers` exclude each other
 --> tasks.yaml:7:32
  |
7 |     with: { pricing: { markup: 1.3, tiers: [{ up_to: 5000, markup: 1.2 }, { markup: 1.25 }, { up_to: 1000, markup: 1.3 }] } }
  |                                ^^^
  |
  = help: the last tier, without `up_to`, has the markup for all that costs more

error: `up_to` is missing: only the last tier has none
 --> tasks.yaml:7:75
  |
7 |     with: { pricing: { markup: 1.3, tiers: [{ up_to: 5000, markup: 1.2 }, { markup: 1.25 }, { up_to: 1000, markup: 1.3 }] } }
  |                                                                           ^^^^^^^^^^^^^^^^
  |
  = help: write the highest cost in it

error: the tiers do not go up: 1,000 comes after 5,000
 --> tasks.yaml:7:102
  |
7 |     with: { pricing: { markup: 1.3, tiers: [{ up_to: 5000, markup: 1.2 }, { markup: 1.25 }, { up_to: 1000, markup: 1.3 }] } }
  |                                                                                                      ^^^^
  |
  = help: begin with the cheapest

error: no tier says what happens above a cost of 5,000 yen
  --> tasks.yaml:10:40
   |
10 |     with: { pricing: { tiers: { up_to: 5000, markup: 1.2 } } }
   |                                        ^^^^
   |
   = help: end with a tier without `up_to`: `{ markup: 1.30 }`

error: `fall` is not one of refuse, hold
  --> tasks.yaml:13:42
   |
13 |     with: { pricing: { tiers: [], edges: fall } }
   |                                          ^^^^
   |
   = help: write one of these words
"

    bounds_that_leave_no_price: r#"marketplaces:
  amazon: {region: fe, marketplace_id: A, client_id: x, client_secret: "${SECRET}"}
  base: {client_id: x, client_secret: "${SECRET}"}
tasks:
  s:
    handler: sync_inventory
    with:
      pricing:
        edges: hold
        markup: 1.10
        min: 995
        max: 999
        min_margin: { percent: 15% }
        warn_ratio: { below: 2, above: 1.05 }
"# => r"
error: `edges` has no effect without `tiers`
 --> tasks.yaml:9:16
  |
9 |         edges: hold
  |                ^^^^
  |
  = help: leave it out

error: there is no price between `min` and `max`: the lowest is 1,000, and `max` 999
  --> tasks.yaml:12:14
   |
12 |         max: 999
   |              ^^^
   |
   = help: raise `max`, or lower `min` or `round`

error: the markup 1.1 leaves less than that: every price of it would be the floor's
  --> tasks.yaml:13:32
   |
13 |         min_margin: { percent: 15% }
   |                                ^^^
   |
   = help: mark up by 1.15 or more, or lower `percent`

error: `above` 1.05 is not more than `below` 2: every price would be warned of
  --> tasks.yaml:14:40
   |
14 |         warn_ratio: { below: 2, above: 1.05 }
   |                                        ^^^^
   |
   = help: write the smaller one as `below`
"

    parameters_of_the_sync_that_are_no_words_of_its: r#"marketplaces:
  amazon: {region: fe, marketplace_id: A, client_id: x, client_secret: "${SECRET}"}
  base: {client_id: x, client_secret: "${SECRET}"}
tasks:
  s:
    handler: sync_inventory
    with: { phases: [], restock: always, offers: { condition: mint, ships_within: 72 } }
  t:
    handler: sync_inventory
    with: { phases: [prices], offers: { free: true } }
"# => r"
error: there is no phase here: nothing would be done
 --> tasks.yaml:7:13
  |
7 |     with: { phases: [], restock: always, offers: { condition: mint, ships_within: 72 } }
  |             ^^^^^^
  |
  = help: leave `phases` out for all of them

error: `always` is not one of after_fresh_check, never
 --> tasks.yaml:7:34
  |
7 |     with: { phases: [], restock: always, offers: { condition: mint, ships_within: 72 } }
  |                                  ^^^^^^
  |
  = help: write one of these words

error: `mint` is not one of new, used
 --> tasks.yaml:7:63
  |
7 |     with: { phases: [], restock: always, offers: { condition: mint, ships_within: 72 } }
  |                                                               ^^^^
  |
  = help: write one of these words

error: `72` is not a duration
 --> tasks.yaml:7:83
  |
7 |     with: { phases: [], restock: always, offers: { condition: mint, ships_within: 72 } }
  |                                                                                   ^^
  |
  = help: add a unit: `72s`

error: `prices` is not one of fetch, price, visibility
  --> tasks.yaml:10:22
   |
10 |     with: { phases: [prices], offers: { free: true } }
   |                      ^^^^^^
   |
   = help: did you mean `price`?

error: unknown key `free`
  --> tasks.yaml:10:41
   |
10 |     with: { phases: [prices], offers: { free: true } }
   |                                         ^^^^
   |
   = help: did you mean `free_shipping`?
"

    a_number_that_is_none: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    retries: {max: many, jitter: 1.5}
" => r"
error: `many` is not a whole number
 --> tasks.yaml:5:20
  |
5 |     retries: {max: many, jitter: 1.5}
  |                    ^^^^

error: 1.5 is not from 0 to 1
 --> tasks.yaml:5:34
  |
5 |     retries: {max: many, jitter: 1.5}
  |                                  ^^^
  |
  = help: write a number from 0 to 1
"

    a_number_with_separators: r"max_running: 1_000
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: `1_000` is not a whole number
 --> tasks.yaml:1:14
  |
1 | max_running: 1_000
  |              ^^^^^
  |
  = help: write `1000`
"

    a_word_that_is_none: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    overlap: last_win
" => r"
error: `last_win` is not one of last_wins, skip, queue, allow
 --> tasks.yaml:5:14
  |
5 |     overlap: last_win
  |              ^^^^^^^^
  |
  = help: did you mean `last_wins`?
"

    a_boolean_of_old: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: yes
" => r"
error: `yes` is neither `true` nor `false`
 --> tasks.yaml:5:14
  |
5 |     enabled: yes
  |              ^^^
  |
  = help: write `true`
"

    a_delay_beyond_its_limit: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    retries: {delay: 5m, max_delay: 1m}
" => r"
error: `max_delay` 1m is less than `delay` 5m
 --> tasks.yaml:5:5
  |
5 |     retries: {delay: 5m, max_delay: 1m}
  |     ^^^^^^^
  |
  = help: raise `max_delay`, or leave it out
"

    hours_that_are_none: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    business_hours: mon-fri 09:00-25:00
" => r"
error: `25:00` is not a time (00:00 to 23:59)
 --> tasks.yaml:5:35
  |
5 |     business_hours: mon-fri 09:00-25:00
  |                                   ^^^^^
"

    hours_without_a_window: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    business_hours: []
" => r"
error: without a window it never opens
 --> tasks.yaml:5:21
  |
5 |     business_hours: []
  |                     ^^
  |
  = help: write hours such as `09:00-18:00`, or `always`
"

    hours_that_never_open: r#"tasks:
  t:
    handler: command
    with: {run: [ls]}
    business_hours: {windows: "09:00-18:00", holidays: [2000-01-01..9999-12-31]}
    schedule: {every: 1h}
"# => r#"
error: these business hours never open
 --> tasks.yaml:5:31
  |
5 |     business_hours: {windows: "09:00-18:00", holidays: [2000-01-01..9999-12-31]}
  |                               ^^^^^^^^^^^^^
  |
  = help: check the windows against the holidays
"#

    fires_outside_the_hours: r#"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: "0 3 * * *"
    business_hours: "09:00-18:00"
"# => r#"
error: every fire lies outside the business hours (09:00-18:00)
 --> tasks.yaml:5:15
  |
5 |     schedule: "0 3 * * *"
  |               ^^^^^^^^^^^
  |
  = help: move the schedule or the hours, or set `defer: true`
"#

    a_date_that_does_not_exist: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    holidays: [2026-02-30]
" => r"
error: `2026-02-30` is not a date
 --> tasks.yaml:5:16
  |
5 |     holidays: [2026-02-30]
  |                ^^^^^^^^^^
  |
  = help: write year-month-day: `2026-12-31`, or a range: `2026-12-31..2027-01-03`
"

    a_range_of_dates_turned_round: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    calendar: {only: 2027-01-03..2026-12-31}
" => r"
error: `2027-01-03..2026-12-31` ends before it begins
 --> tasks.yaml:5:22
  |
5 |     calendar: {only: 2027-01-03..2026-12-31}
  |                      ^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write `2026-12-31..2027-01-03`
"

    a_variable_that_is_not_set: r#"tasks:
  t: {handler: command, with: {run: [ls], env: {URL: "https://${HOST}/x"}}}
"# => r#"
error: `${HOST}` is not set in the environment
 --> tasks.yaml:2:63
  |
2 |   t: {handler: command, with: {run: [ls], env: {URL: "https://${HOST}/x"}}}
  |                                                               ^^^^^^^
  |
  = help: export HOST=… before taskrun starts
"#

    a_variable_that_is_none: r#"tasks:
  t: {handler: command, with: {run: ["echo ${A:-b}"], shell: true}}
"# => r#"
error: `${` begins the name of a variable, and this is none
 --> tasks.yaml:2:44
  |
2 |   t: {handler: command, with: {run: ["echo ${A:-b}"], shell: true}}
  |                                            ^^^^^^^
  |
  = help: write `$${` for `${` itself
"#

    a_secret_in_the_file: r"marketplaces:
  base: {client_id: x, client_secret: hush-hush}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: a secret does not belong in this file
 --> tasks.yaml:2:39
  |
2 |   base: {client_id: x, client_secret: *********}
  |                                       ^^^^^^^^^
  |
  = help: write `${NAME}`, or `{ file: PATH }`
"

    a_url_in_the_clear: r#"marketplaces:
  base: {client_id: x, client_secret: "${SECRET}", endpoint: "http://shop.example"}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
"# => r#"
error: secrets would go to `shop.example` in the clear
 --> tasks.yaml:2:62
  |
2 |   base: {client_id: x, client_secret: "${SECRET}", endpoint: "http://shop.example"}
  |                                                              ^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write `https://`; plain `http://` is for this machine only
"#

    a_url_with_a_password: r#"marketplaces:
  base: {client_id: x, client_secret: "${SECRET}", endpoint: "https://me:pass@shop.example"}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
"# => r#"
error: a user or a password does not belong in this URL
 --> tasks.yaml:2:62
  |
2 |   base: {client_id: x, client_secret: "${SECRET}", endpoint: ******************************}
  |                                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write it like `https://host.example/path`
"#

    a_proxy_that_is_none: r#"marketplaces:
  base: {client_id: x, client_secret: "${SECRET}"}
accounts: {shop_1: {platform: base, proxy: me-pass-proxy}}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
"# => r"
error: this is not the URL of a proxy
 --> tasks.yaml:3:44
  |
3 | accounts: {shop_1: {platform: base, proxy: *************}}
  |                                            ^^^^^^^^^^^^^
  |
  = help: write it like `http://host:3128` or `socks5h://host:1080`
"

    a_store_that_is_not_built_yet: r"store: postgres://user:pass@host/taskrun
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: a store on PostgreSQL is not built yet
 --> tasks.yaml:1:8
  |
1 | store: *********************************
  |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write it like `sqlite://state/taskrun.db`
"

    an_address_without_a_port: r"http: {listen: localhost}
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: `localhost` is not an address and a port
 --> tasks.yaml:1:16
  |
1 | http: {listen: localhost}
  |                ^^^^^^^^^
  |
  = help: write it like `127.0.0.1:9700`
"

    a_path_from_the_shell: r"state_dir: ~/state
tasks:
  t:
    handler: command
    with: {run: [ls]}
    enabled: true
" => r"
error: `~` means nothing in a path here
 --> tasks.yaml:1:12
  |
1 | state_dir: ~/state
  |            ^^^^^^^
  |
  = help: write `${HOME}/state`
"

    text_that_needs_quotes: r"tasks:
  t:
    handler: command
    with: {run: [ls]}
    schedule: */5 * * * *
" => r"
error: not readable as YAML: while parsing node, found unknown anchor
 --> tasks.yaml:5:15
  |
5 |     schedule: */5 * * * *
  |               ^
  |
  = help: text that begins with `*` needs quotes
"

    a_bracket_left_open: r"tasks: {t: {handler: command
" => r"
error: not readable as YAML: unclosed bracket '{'
 --> tasks.yaml:1:12
  |
1 | tasks: {t: {handler: command
  |            ^
"

    a_tab: "tasks:\n\tt: {handler: command}\n" => r"
error: not readable as YAML: tabs disallowed within this context (block indentation)
 --> tasks.yaml:2:2
  |
2 |     t: {handler: command}
  |     ^
  |
  = help: indent with spaces
"

    a_second_document: r"tasks: {}
---
tasks: {}
" => r"
error: a second document begins here
 --> tasks.yaml:2:1
  |
2 | ---
  | ^^^
  |
  = help: one file holds one configuration: remove `---`
"

    a_tag: r"tasks:
  t: {handler: !!str command, with: {run: [ls]}}
" => r"
error: the tag `!!str` means nothing here
 --> tasks.yaml:2:16
  |
2 |   t: {handler: !!str command, with: {run: [ls]}}
  |                ^^^^^
  |
  = help: remove it
"

    an_anchor_that_is_missing: r"tasks:
  t: *base
" => r"
error: not readable as YAML: while parsing node, found unknown anchor
 --> tasks.yaml:2:6
  |
2 |   t: *base
  |      ^
  |
  = help: `*NAME` stands for what `&NAME` marks further up; a text that begins with `*` needs quotes
"

    a_control_character: "tasks:\n  t: {handler: \"a\x1b[31mb\0\"}\n" => r#"
error: not readable as YAML: unexpected character: `\u{1b}'
 --> tasks.yaml:2:18
  |
2 |   t: {handler: "a␛[31mb␀"}
  |                  ^
"#

    an_empty_file: "" => r"
error: the file is empty
 --> tasks.yaml:1:1
  |
1 |
  | ^
  |
  = help: it needs `tasks:` with at least one task
"
}
