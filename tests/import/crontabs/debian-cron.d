# What packages put into /etc/cron.d, one after the other.
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

# anacron
30 7-23 * * *   root	[ -x /etc/init.d/anacron ] && if [ ! -d /run/systemd/system ]; then /usr/sbin/invoke-rc.d anacron start >/dev/null; fi

# e2scrub_all
30 3 * * 0 root test -e /run/systemd/system || SERVICE_MODE=1 /usr/lib/x86_64-linux-gnu/e2fsprogs/e2scrub_all_cron
10 3 * * * root test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r

# popularity-contest
24 13 * * 3   root    test -x /etc/cron.daily/popularity-contest && /etc/cron.daily/popularity-contest --crond

# sysstat
5-55/10 * * * * root command -v debian-sa1 > /dev/null && debian-sa1 1 1
59 23 * * * root command -v debian-sa1 > /dev/null && debian-sa1 60 2

# php: sessions that are over
09,39 *     * * *     root   [ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi

# certbot
0 */12 * * * root test -x /usr/bin/certbot -a \! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew --no-random-sleep-on-renew

# mdadm: on the first Sunday of the month
57 0 * * 0 root if [ -x /usr/share/mdadm/checkarray ] && [ $(date +\%d) -le 7 ]; then /usr/share/mdadm/checkarray --cron --all --idle --quiet; fi
# zfs: on the second
24 0 8-14 * * root if [ $(date +\%w) -eq 0 ] && [ -x /usr/lib/zfs-linux/scrub ]; then /usr/lib/zfs-linux/scrub; fi

# what others have
@reboot root /usr/local/sbin/warm-up
@hourly root /usr/local/sbin/each-hour
@daily  root /usr/local/sbin/each-day
@midnight root /usr/local/sbin/each-midnight
@weekly www-data /usr/local/sbin/each-week
@monthly root /usr/local/sbin/each-month
@yearly root /usr/local/sbin/each-year
@annually root /usr/local/sbin/each-year-again
*/5 8-18 * * mon-fri www-data /usr/local/bin/queue --once
0 0 1,15 * fri root /usr/local/bin/thirteenth
0 4 */2 * mon root /usr/local/bin/odd-mondays
0 0 1-31 * 1 root /usr/local/bin/each-day-after-all
0 9 * jan-mar,DEC Mon,wed-FRI root /usr/local/bin/season
30 2 * * * root /usr/local/bin/in-the-gap
*/15 2 * * * root /usr/local/bin/in-the-gap-with-a-star
15 1,2,3 * 3,10,11 sun root /usr/local/bin/around-the-gap
0 12 29 2 * root /usr/local/bin/leap-day
59 23 31 * * root /usr/local/bin/month-end
* * * * 6,7 root /usr/local/bin/weekend
