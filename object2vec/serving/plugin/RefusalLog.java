/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Lets so many refusals a second into the log, and tells the number of the others. */
final class RefusalLog {

    private static final Logger LOG = LoggerFactory.getLogger("object2vec");
    private static final long PERIOD_NANOS = TimeUnit.SECONDS.toNanos(1);

    private final int most;
    private long begin = System.nanoTime();
    private int logged;
    private long passedOver;

    RefusalLog(int most) {
        this.most = most;
    }

    /** Whether one more may be logged. */
    synchronized boolean admits() {
        tell();
        if (logged < most) {
            logged++;
            return true;
        }
        passedOver++;
        return false;
    }

    /** Begin anew if a second is over. */
    synchronized void tell() {
        if (System.nanoTime() - begin < PERIOD_NANOS) {
            return;
        }
        if (passedOver > 0) {
            LOG.warn("{} more requests were refused, too many to log each.", passedOver);
        }
        begin = System.nanoTime();
        logged = 0;
        passedOver = 0;
    }
}
