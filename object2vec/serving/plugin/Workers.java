/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import com.amazonaws.ml.mms.wlm.ModelManager;
import com.amazonaws.ml.mms.wlm.WorkerState;
import com.amazonaws.ml.mms.wlm.WorkerThread;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What the Python workers are doing, as the server and the kernel tell. */
public final class Workers {

    private static final Logger LOG = LoggerFactory.getLogger("object2vec");

    private static final int DYING_TURNS = 100;
    private static final long DYING_MILLIS = 20;

    /** The name that the model is loaded by. */
    static final String MODEL = "model";

    private Workers() {}

    /** Whether one can answer, now or when it is done with what it has. */
    static boolean canAnswer() {
        for (WorkerThread worker : ModelManager.getInstance().getWorkers(MODEL)) {
            if (worker.getState() == WorkerState.WORKER_MODEL_LOADED && runs(worker.getPid())) {
                return true;
            }
        }
        return false;
    }

    /**
     * End a process whose connection is closed: it may be at work for nothing, or stopped for ever.
     *
     * <p>Its parent buries it when it forks the next one, so that this waits until it is dead.
     *
     * @param parent of which it is a child, if its number is not another process's by now
     */
    public static void end(int pid, int parent) {
        if (!lives(pid, parent)) {
            return;
        }
        try {
            new ProcessBuilder("/bin/sh", "-c", "kill -KILL " + pid).start().waitFor();
            for (int turn = 0; turn < DYING_TURNS && lives(pid, parent); turn++) {
                Thread.sleep(DYING_MILLIS);
            }
        } catch (IOException | InterruptedException error) {
            LOG.error("A worker cannot be ended:", error);
        }
    }

    private static boolean lives(int pid, int parent) {
        String[] fields = pid > 0 ? status(pid) : null;
        return fields != null && !fields[0].equals("Z") && fields[1].equals("" + parent);
    }

    private static boolean runs(int pid) {
        String[] fields = status(pid);
        return fields != null && "TtZX".indexOf(fields[0]) < 0;
    }

    /** State, parent and more of a process, as proc(5) has them after its name; null without one. */
    private static String[] status(int pid) {
        try {
            byte[] content = Files.readAllBytes(Paths.get("/proc/" + pid + "/stat"));
            String text = new String(content, StandardCharsets.ISO_8859_1);
            return text.substring(text.lastIndexOf(')') + 2).split(" ");
        } catch (IOException error) {
            return null;
        }
    }
}
